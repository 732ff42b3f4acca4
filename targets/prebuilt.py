"""Graphs that others made: a bare `.tflite`, `.onnx` or OpenVINO `.xml`, run as they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from edgeanim.core.artifact import FLOAT32, CompiledGraph
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import atomic_path, must_exist
from edgeanim.graph.reading.roles import DEFAULT_RANGE, finished_picture, identifier, spec_of_shapes
from edgeanim.targets.backends import (
    Backend,
    ReadsForeign,
    backend_names,
    get_backend,
)
from edgeanim.targets.backends.base import Port
from edgeanim.targets.companions import with_companions
from edgeanim.targets.manifest import Variant


def load_prebuilt(
    path: Path, workdir: Path, values: tuple[float, float] | None = None
) -> tuple[Contract, Variant]:
    """A contract inferred from the file's own tensors, and the file as the only variant.

    The file, with what it needs beside it, is copied into `workdir`, so that what runs cannot
    change under the run. Roles follow from shapes and names (`graph.reading.roles`), pictures
    are in the range `values`, by default what 8-bit numbers at that end stand for, or 0..1. The
    precision is `int8` as soon as it has quantised ops: what was asked for, not what will execute.
    `MissingComponent` if its runtime is absent.
    """
    must_exist(path)
    backend, reader = _backend_for(path)
    name = identifier(path.stem)
    files = _copy(path, backend, workdir, name)
    try:
        interface = reader.interface(files[0])
    except BadInput as error:
        # Nobody but us knows the copy, and it is gone when this is read.
        what = error.what.replace(str(files[0]), str(path))
        raise BadInput(what, where=path, hint=error.hint) from error
    for port in (*interface.inputs, *interface.outputs):
        if not port.is_known:
            raise BadInput(
                f"{port.name!r} is {port.dtype}; a graph's ends are to be float32, float16, uint8, "
                "or int8 with a scale.",
                where=path,
                hint="Convert the model again with float inputs and outputs.",
            )
    inputs, outputs = (
        {port.name: port.shape for port in ports} for ports in (interface.inputs, interface.outputs)
    )
    told = {} if values else _ranges((*interface.inputs, *interface.outputs))
    painted = values or told.get(finished_picture(outputs, path), DEFAULT_RANGE)
    spec = spec_of_shapes(path, inputs, outputs, painted, told)
    graph = CompiledGraph(
        backend=backend.name,
        precision=interface.precision,
        scheme=FLOAT32 if interface.precision == FLOAT32 else str(backend.int8_scheme),
        spec=spec,
        files=files,
        bindings={tensor.name: tensor.name for tensor in (*spec.inputs, *spec.outputs)},
    )
    return Contract(name, (spec,)), Variant(backend.name, interface.precision, (graph,))


def _ranges(ports: Iterable[Port]) -> dict[str, tuple[float, float]]:
    return {port.name: port.numbers.range for port in ports if port.numbers and port.numbers.range}


def prebuilt_suffixes() -> tuple[str, ...]:
    """The suffixes of the files that `load_prebuilt` takes."""
    return tuple(backend.suffixes[0] for backend, _ in _readers())


def _readers() -> list[tuple[Backend, ReadsForeign]]:
    backends = [get_backend(name) for name in backend_names()]
    return [(backend, backend) for backend in backends if isinstance(backend, ReadsForeign)]


def _backend_for(path: Path) -> tuple[Backend, ReadsForeign]:
    for backend, reader in _readers():
        if path.suffix.lower() == backend.suffixes[0]:
            return backend, reader
    raise BadInput(
        f"No backend runs {path.suffix or 'this kind of'} files as they are.",
        where=path,
        hint=f"Possible: {', '.join(prebuilt_suffixes())}.",
    )


def _copy(path: Path, backend: Backend, workdir: Path, name: str) -> tuple[Path, ...]:
    """The file and its companions; these keep the names by which it asks for them."""
    copies = []
    for copy, source in with_companions(path, f"{name}{backend.suffixes[0]}").items():
        with (
            disk_errors(source),
            source.open("rb") as stream,
            atomic_path(workdir / copy) as partial,
            partial.open("wb") as target,
        ):
            shutil.copyfileobj(stream, target)
        copies.append(workdir / copy)
    if not copies[0].stat().st_size:
        raise BadInput("This file is empty.", where=path)
    return tuple(copies)
