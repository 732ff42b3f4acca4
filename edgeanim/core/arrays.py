"""NumPy archives that came from outside: checked before a byte of an array is allocated."""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.archives import archive_errors
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import atomic_path
from edgeanim.core.parsing import nearest

MAX_BYTES = 4 << 30
"""Of all the arrays of one file together."""

_KINDS = "fiub"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_HEADER = 10_000
_HEADERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


def load_npz(
    path: Path,
    *,
    required: Collection[str],
    optional: Collection[str] = (),
    prefixes: tuple[str, ...] = (),
    limit: int = MAX_BYTES,
) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` with exactly the names in `required`, perhaps some in `optional`,
    perhaps some that start with one of `prefixes`. Anything else, pickled objects first of all,
    is `BadInput`, and so are arrays of more than `limit` bytes together: zeros pack to a
    thousandth."""
    _check_file(path)
    with disk_errors(path), archive_errors(path), zipfile.ZipFile(path) as archive:
        members = _members(archive, path, limit)
        _check_names(members, required, optional, prefixes, path)
        arrays = {}
        for name, info in members.items():
            with archive.open(info) as stream:
                arrays[name] = _read_array(stream, info.file_size, f"{path}[{name}]")
        return arrays


def load_npy(path: Path) -> NDArray[Any]:
    """The array of an `.npy` of numbers; `BadInput` if it is anything else."""
    size = _check_file(path)
    with disk_errors(path), path.open("rb") as stream:
        return _read_array(stream, size, path)


def save_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` to `path`, compressed, atomically; equal arrays give equal bytes. `ValueError`
    for arrays of anything but numbers, which could only be pickled."""
    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"{name!r} holds {array.dtype}, not plain numbers")
    with atomic_path(path) as partial, partial.open("wb") as stream:
        # NumPy 1 would take `allow_pickle=False` for one more array to store.
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def _check_file(path: Path) -> int:
    with disk_errors(path), path.open("rb") as stream:
        size = stream.seek(0, 2)
    if not size:
        raise BadInput("The file is empty.", where=path)
    return size


def _members(archive: zipfile.ZipFile, path: Path, limit: int) -> dict[str, zipfile.ZipInfo]:
    """The members by the names of their arrays."""
    infos = archive.infolist()
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise BadInput(f"The archive holds {info.filename!r}, which is no array.", where=path)
        if info.compress_type not in _METHODS:
            raise BadInput(f"{info.filename!r} is compressed in an unknown way.", where=path)
    size = sum(info.file_size for info in infos)
    if size > limit:
        raise BadInput(
            f"The archive unpacks to {size >> 20} MiB; the limit is {limit >> 20}.", where=path
        )
    members = {info.filename[: -len(".npy")]: info for info in infos}
    if len(members) != len(infos):
        raise BadInput("The archive holds two arrays of one name.", where=path)
    return members


def _check_names(
    members: Mapping[str, object],
    required: Collection[str],
    optional: Collection[str],
    prefixes: tuple[str, ...],
    path: Path,
) -> None:
    if missing := sorted(set(required) - set(members)):
        raise BadInput(f"The archive lacks {', '.join(map(repr, missing))}.", where=path)
    for name in members:
        if name not in required and name not in optional and not name.startswith(prefixes or "\0"):
            raise BadInput(
                f"The archive holds {name!r}, which does not belong here.",
                where=path,
                hint=nearest(name, [*required, *optional, *(f"{prefix}…" for prefix in prefixes)]),
            )


def _read_array(stream: IO[bytes], size: int, where: object) -> NDArray[Any]:
    """Parse one `.npy` of `size` bytes. The header's claim is held against `size` first, so that
    a few bytes cannot ask for terabytes."""
    shape, fortran, dtype = _read_header(stream, where)
    if dtype.kind not in _KINDS or any(type(axis) is not int or axis < 0 for axis in shape):
        raise BadInput(f"The array holds {dtype}, not plain numbers.", where=where)
    nbytes = prod(shape) * dtype.itemsize
    if nbytes > min(size, MAX_BYTES):
        raise BadInput("The array is cut off, or larger than allowed.", where=where)
    data = stream.read(nbytes + 1)
    if len(data) != nbytes:
        raise BadInput("The array is not as long as its header says.", where=where)
    try:
        array: NDArray[Any] = np.frombuffer(data, dtype).reshape(
            shape, order="F" if fortran else "C"
        )
    except ValueError as error:  # an empty array may still have more or longer axes than possible
        raise BadInput("The array has an impossible shape.", where=where) from error
    return array.astype(dtype.newbyteorder("="))


def _read_header(stream: IO[bytes], where: object) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type. The header is Python's notation, which NumPy
    reads with Python's own parser: hence the errors, and a bound of ours on its length."""
    try:
        width, read_header = _HEADERS[np.lib.format.read_magic(stream)]
        length = stream.read(width)
        if int.from_bytes(length, "little") > _MAX_HEADER:
            raise ValueError("the header is too long")
        header = io.BytesIO(length + stream.read(int.from_bytes(length, "little")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            return read_header(header)
    except (
        *(ValueError, LookupError, EOFError, TypeError, OverflowError, SyntaxError),
        *(AttributeError, tokenize.TokenError, RecursionError, MemoryError),
    ) as error:
        raise BadInput("This is not a NumPy array of numbers.", where=where) from error
