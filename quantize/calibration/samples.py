"""Calibration data: streamed to disk, read back by memory mapping, and checked before any work.

A folder of samples holds one raw little-endian float32 file per graph input, samples one after the
other, and `samples.json`, which says what they are. Nothing here holds more than one sample in
memory, whatever the count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import numpy as np

from edgeanim.core.arrays import load_npz
from edgeanim.core.artifact import Array
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import atomic_folder, canonical_json, inside, write_text
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.quantize.calibration.checks import check_samples, checked_array, layout_hint

__all__ = ["ArraySamples", "DiskSamples", "SampleWriter", "check_samples", "read_npz"]

INDEX_FILE = "samples.json"
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class _Stored:
    """One input's file: `shape` is that of a single sample."""

    name: str
    shape: tuple[int, ...]
    file: str

    def __post_init__(self) -> None:
        if not self.shape or any(size < 1 for size in self.shape):
            raise ValueError(f"the shape {list(self.shape)} of {self.name!r} is not possible")


@dataclass(frozen=True)
class _Index:
    graph: str
    count: int
    inputs: tuple[_Stored, ...]
    digest: str
    schema: Literal[1] = 1

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("`count` must not be negative")


class SampleWriter:
    """Streams the calibration inputs of the graph `spec` into `folder`.

    A context manager; the folder appears only if the block succeeds. After it, `count` and
    `digest` describe what was written.
    """

    def __init__(self, folder: Path, spec: GraphSpec) -> None:
        self._spec = spec
        self._folder = folder
        self._stored = tuple(
            _Stored(tensor.name, tensor.shape, f"input{i}.f32")
            for i, tensor in enumerate(spec.inputs)
        )
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._hash = hashlib.sha256()
        self.count = 0

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the samples added so far, in order."""
        return self._hash.hexdigest()

    def __enter__(self) -> SampleWriter:
        with ExitStack() as stack:
            self._partial = stack.enter_context(atomic_folder(self._folder))
            stack.push(self._write_index)  # so it runs after the files below are closed
            for stored in self._stored:
                path = self._partial / stored.file
                self._files[stored.name] = stack.enter_context(path.open("wb"))
            self._stack = stack.pop_all()
        return self

    def add(self, inputs: Mapping[str, Array]) -> None:
        """Append one sample: every input of the graph by name, float32 in the contract's shape."""
        arrays = [checked_array(inputs, spec, self.count) for spec in self._spec.inputs]
        with disk_errors(self._folder):
            for spec, array in zip(self._spec.inputs, arrays, strict=True):
                data = np.ascontiguousarray(array, _FLOAT)
                self._files[spec.name].write(data.data)
                _update_hash(self._hash, spec.name, data)
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _write_index(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """The last file of the folder; none after a failed block, which leaves no folder."""
        if error is None:
            index = _Index(self._spec.name, self.count, self._stored, self.digest)
            write_text(self._partial / INDEX_FILE, canonical_json(to_plain(index)))


class DiskSamples:
    """Samples that a `SampleWriter` left in `folder`, mapped into memory one at a time.

    `BadInput` if the folder is not one, or a file has not the size that the index records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / INDEX_FILE
        index = parse(_Index, load_json(path), where=path)
        self._count, self._digest = index.count, index.digest
        self._files = {
            stored.name: (stored, inside(folder, stored.file)) for stored in index.inputs
        }
        for stored, file in self._files.values():
            with disk_errors(file):
                size = file.stat().st_size
            wanted = index.count * prod(stored.shape) * _FLOAT.itemsize
            if size != wanted:
                raise BadInput(
                    f"The file has {size} bytes where {index.count} samples of "
                    f"{stored.name!r} need {wanted}.",
                    where=file,
                    hint="Make the calibration samples again.",
                )

    @property
    def digest(self) -> str:
        """The digest that the writer recorded."""
        return self._digest

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Mapping[str, Array]:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return {
            name: self._read(stored, path, index) for name, (stored, path) in self._files.items()
        }

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        return (self[i] for i in range(self._count))

    @staticmethod
    def _read(stored: _Stored, path: Path, index: int) -> Array:
        # A mapping that lives only for one sample keeps the resident size flat.
        offset = index * prod(stored.shape) * _FLOAT.itemsize
        mapped = np.memmap(path, _FLOAT, mode="r", offset=offset, shape=stored.shape)
        return np.array(mapped, dtype=np.float32)


@dataclass(frozen=True)
class ArraySamples:
    """Samples in memory: `arrays` maps each input name to float32 [count, *shape]."""

    arrays: Mapping[str, Array]

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over all samples, the same as a `SampleWriter` would give."""
        whole = hashlib.sha256()
        for sample in self:
            for name, array in sample.items():
                _update_hash(whole, name, np.ascontiguousarray(array, _FLOAT))
        return whole.hexdigest()

    def __len__(self) -> int:
        return min((len(array) for array in self.arrays.values()), default=0)

    def __getitem__(self, index: int) -> Mapping[str, Array]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {name: array[index] for name, array in self.arrays.items()}

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        return (self[i] for i in range(len(self)))


def read_npz(path: Path, spec: GraphSpec, *, optional: Collection[str] = ()) -> ArraySamples:
    """A user's calibration file: an array per graph input, samples along the leading axis; of the
    inputs named in `optional` there need not be one.

    An array is [count, *shape], or [count, *shape without its leading 1]. Numbers of any float or
    integer type are taken as they are, never rescaled. `BadInput` names the missing, unknown or
    misshapen array; pickled objects are refused.
    """
    required = [tensor.name for tensor in spec.inputs if tensor.name not in optional]
    loaded = load_npz(path, required=required, optional=optional)
    arrays = {
        tensor.name: _stacked(loaded, tensor, path)
        for tensor in spec.inputs
        if tensor.name in loaded
    }
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise BadInput(
            f"The arrays hold different numbers of samples: {counts}.",
            where=path,
            hint="Give each input as many, one for every run of the graph.",
        )
    return ArraySamples(arrays)


def _update_hash(whole: hashlib._Hash, name: str, data: Array) -> None:
    whole.update(f"{name}\0{data.shape}\n".encode())
    whole.update(data.data)


def _stacked(loaded: Mapping[str, np.ndarray], spec: TensorSpec, path: Path) -> Array:
    array = loaded[spec.name]
    if array.dtype.kind not in "fiu":
        raise BadInput(
            f"{spec.name!r} holds {array.dtype} values, not numbers.",
            where=path,
            hint="Store it as float32.",
        )
    short = spec.shape[1:] if spec.shape[0] == 1 else spec.shape
    if array.shape[1:] not in (spec.shape, short):
        raise BadInput(
            f"{spec.name!r} has the shape {list(array.shape)}; "
            f"[samples, {', '.join(map(str, short))}] is needed.",
            where=path,
            hint=layout_hint((1, *array.shape[1:]), spec),
        )
    return array.reshape(-1, *spec.shape).astype(np.float32)
