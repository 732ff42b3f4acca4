"""NumPy archives that came from outside: checked before a byte of an array is allocated."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import atomic_path

MAX_ARRAY_BYTES = 4 << 30
_KINDS = "fiub"


def load_npz(
    path: Path,
    *,
    required: Collection[str],
    optional: Collection[str] = (),
    prefixes: tuple[str, ...] = (),
) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` with exactly the names in `required`, perhaps some in `optional`,
    perhaps some that start with one of `prefixes`. Anything else, pickled objects first of all,
    is `BadInput`."""
    _check_file(path)
    with disk_errors(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = {_stem(info, path): info for info in archive.infolist()}
                _check_names(members, required, optional, prefixes, path)
                arrays = {}
                for name, info in members.items():
                    with archive.open(info) as stream:
                        arrays[name] = _read_array(stream, info.file_size, f"{path}[{name}]")
                return arrays
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadInput("This is not a whole .npz archive.", where=path) from error


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


def _stem(info: zipfile.ZipInfo, path: Path) -> str:
    if not info.filename.endswith(".npy"):
        raise BadInput(f"The archive holds {info.filename!r}, which is no array.", where=path)
    return info.filename[: -len(".npy")]


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
            raise BadInput(f"The archive holds {name!r}, which does not belong here.", where=path)


def _read_array(stream: IO[bytes], size: int, where: object) -> NDArray[Any]:
    """Parse one `.npy` of `size` bytes. The header's claim is held against `size` first, so that
    a few bytes cannot ask for terabytes."""
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(stream)
        count = 1
        for axis in shape:
            count *= axis
        nbytes = count * dtype.itemsize
    except (ValueError, KeyError, EOFError, TypeError, OverflowError) as error:
        raise BadInput("This is not a NumPy array of numbers.", where=where) from error
    if dtype.kind not in _KINDS or any(axis < 0 for axis in shape):
        raise BadInput(f"The array holds {dtype}, not plain numbers.", where=where)
    if nbytes > min(size, MAX_ARRAY_BYTES):
        raise BadInput("The array is cut off, or larger than allowed.", where=where)
    data = stream.read(nbytes + 1)
    if len(data) != nbytes:
        raise BadInput("The array is not as long as its header says.", where=where)
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))
