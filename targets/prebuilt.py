"""Graphs that others made: a bare `.tflite`, `.onnx` or OpenVINO `.xml`, run as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeanim.core.artifact import FLOAT32, CompiledGraph
from edgeanim.core.contract import Contract, GraphSpec, Layout, TensorSpec
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.files import atomic_path
from edgeanim.graph.infer import identifier
from edgeanim.targets.backends import (
    Backend,
    Interface,
    Port,
    ReadsForeign,
    backend_names,
    get_backend,
)
from edgeanim.targets.manifest import Variant

_CHANNELS = (1, 3, 4)
_SMALLEST_SIDE = 8
_RANGE = (0.0, 1.0)


def load_prebuilt(path: Path, workdir: Path) -> tuple[Contract, Variant]:
    """A contract inferred from the file's own tensors, and the file as the only variant.

    The file (with an OpenVINO graph's `.bin`) is copied into `workdir`, so that what runs cannot
    change under the run. The one picture among the inputs is the `driving_frame`, the one among
    the outputs the `frame`, both taken to be in 0..1; any other input is `condition:NAME`, any
    other output `feature:NAME`. The precision is `int8` as soon as the file has quantised ops:
    what was asked for, not what will execute. `MissingComponent` if its runtime is absent.
    """
    backend, reader = _backend_for(path)
    name = identifier(path.stem)
    files = _copy(path, backend, workdir, name)
    interface = reader.interface(files[0])
    for port in (*interface.inputs, *interface.outputs):
        if port.dtype != "float32":
            raise BadInput(
                f"{port.name!r} is {port.dtype}; float32 is needed at a graph's ends.",
                where=path,
                hint="Convert the model again with float inputs and outputs.",
            )
    spec = _spec(interface, name, path)
    graph = CompiledGraph(
        backend=backend.name,
        precision=interface.precision,
        scheme=FLOAT32 if interface.precision == FLOAT32 else str(backend.int8_scheme),
        spec=spec,
        files=files,
        bindings={tensor.name: tensor.name for tensor in (*spec.inputs, *spec.outputs)},
    )
    return Contract(name, (spec,)), Variant(backend.name, interface.precision, (graph,))


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
    """The file and its companions, which have the same name and the backend's other suffixes."""
    copies = []
    for suffix in backend.suffixes:
        source = path if suffix == backend.suffixes[0] else path.with_suffix(suffix)
        with (
            disk_errors(source),
            source.open("rb") as stream,
            atomic_path(workdir / f"{name}{suffix}") as partial,
            partial.open("wb") as target,
        ):
            shutil.copyfileobj(stream, target)
        copies.append(workdir / f"{name}{suffix}")
    if not copies[0].stat().st_size:
        raise BadInput("This file is empty.", where=path)
    return tuple(copies)


def _spec(interface: Interface, name: str, path: Path) -> GraphSpec:
    return GraphSpec(
        name=name,
        file=path.name,
        runs="frame",
        inputs=_tensors(interface.inputs, "driving_frame", "condition", path),
        outputs=_tensors(interface.outputs, "frame", "feature", path),
    )


def _tensors(
    ports: tuple[Port, ...], picture_role: str, other_role: str, path: Path
) -> tuple[TensorSpec, ...]:
    pictures = [port.name for port in ports if _layout(port.shape) is not None]
    if len(pictures) != 1:
        shapes = ", ".join(f"{port.name} {list(port.shape)}" for port in ports)
        raise BadInput(
            f"{len(pictures) or 'None'} of {shapes} could be the {picture_role}; exactly one "
            "is needed to tell what this model does.",
            where=path,
            hint="Start from the ONNX original with a model.toml instead.",
        )
    tensors, taken = [], set()
    for port in ports:
        if port.name in pictures:
            layout = _layout(port.shape) or "plain"
            tensors.append(TensorSpec(port.name, picture_role, port.shape, layout, range=_RANGE))
            continue
        role = f"{other_role}:{identifier(port.name)}"
        while role in taken:
            role += "_"
        taken.add(role)
        tensors.append(TensorSpec(port.name, role, port.shape))
    return tuple(tensors)


def _layout(shape: tuple[int, ...]) -> Layout | None:
    """The layout if this can be one picture; channels-first where both readings are possible."""
    if len(shape) != 4 or shape[0] != 1:
        return None
    if shape[1] in _CHANNELS and min(shape[2:]) >= _SMALLEST_SIDE:
        return "NCHW"
    if shape[3] in _CHANNELS and min(shape[1:3]) >= _SMALLEST_SIDE:
        return "NHWC"
    return None
