"""What every backend checks of inputs, settings, files and sessions, and how it refuses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgeanim.core.artifact import Array, CompiledGraph, FloatPrecision, GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import (
    BadInput,
    DeviceFailed,
    EdgeanimError,
    UsageError,
    disk_error,
    disk_errors,
    first_line,
    is_full,
    keep_interruption,
)
from edgeanim.core.parsing import nearest

if TYPE_CHECKING:
    from edgeanim.targets.backends.base import Backend, Session

S = TypeVar("S")

OTHER_BACKENDS = "The other backends may still take it: name them with --backend."
"""What is possible with a graph that one runtime refuses."""


def check_inputs(spec: GraphSpec, inputs: Mapping[str, Array]) -> list[Array]:
    """The inputs in the order of `spec`, C-contiguous and writeable, as runtimes that share
    memory need it.

    `UsageError` names a missing or unknown input; `BadInput` a wrong shape or a dtype other than
    float32: a silent cast here would hide a mistake and cost time in every frame.
    """
    names = [tensor.name for tensor in spec.inputs]
    for name in inputs:
        if name not in names:
            raise UsageError(
                f"The graph {spec.name!r} has no input {name!r}.", hint=nearest(name, names)
            )
    arrays = []
    for tensor in spec.inputs:
        if tensor.name not in inputs:
            raise UsageError(f"The graph {spec.name!r} needs the input {tensor.name!r}.")
        array = inputs[tensor.name]
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            kind = getattr(array, "dtype", type(array).__name__)
            raise BadInput(f"A float32 array is needed, not {kind}.", where=tensor.name)
        if array.shape != tensor.shape:
            raise BadInput(
                f"The shape must be {list(tensor.shape)}, not {list(array.shape)}.",
                where=tensor.name,
                hint=f"The layout is {tensor.layout}.",
            )
        arrays.append(np.ascontiguousarray(array) if array.flags.writeable else array.copy())
    return arrays


def unlike_contract(tensor: TensorSpec, found: str, path: Path) -> BadInput:
    """The file `path` has `found` where the contract has `tensor`."""
    return BadInput(
        f"{tensor.name!r} should be float32 {list(tensor.shape)}; the file has {found}.", where=path
    )


def own_session(session: Session, kind: type[S]) -> S:
    """`session`, which must be of a backend's own `kind`; `UsageError` for another backend's."""
    if not isinstance(session, kind):
        raise UsageError("This session belongs to another backend.")
    return session


def check_profiled(profiled: bool) -> None:
    """`UsageError` for a session that was loaded without its runtime's profile."""
    if not profiled:
        raise UsageError("Load the session with `profile=True` to see what it executes.")


def check_ran(ran: bool) -> None:
    """`UsageError` for a session that has executed nothing yet."""
    if not ran:
        raise UsageError("Run the session before asking what it executed.")


def check_settings(backend: str, settings: Mapping[str, str], known: Sequence[str]) -> None:
    """`BadInput` names the first setting that `backend` does not know."""
    for key in settings:
        if key not in known:
            raise BadInput(
                f"The backend {backend!r} has no setting {key!r}.", hint=nearest(key, known)
            )


def choose(backend: str, key: str, value: str, choices: Mapping[str, Any]) -> Any:
    """The meaning of a setting's value; `BadInput` names the possible ones."""
    if value not in choices:
        raise BadInput(
            f"{value!r} is not possible for the setting {key!r} of the backend {backend!r}.",
            hint=nearest(value, list(choices)),
        )
    return choices[value]


def check_artifact(artifact: GraphArtifact, backend: Backend) -> None:
    """`UsageError` unless the backend compiles this scheme and computes in these floats."""
    if not backend.accepts(artifact.scheme):
        raise UsageError(f"{backend.name} cannot compile the scheme {artifact.scheme!r}.")
    _check_floats(artifact.floats, backend)


def check_files(graph: CompiledGraph, backend: Backend) -> None:
    """`UsageError` if `graph` was compiled for another backend or floats that it does not compute
    in; `BadInput` if a file is not there, is empty, or has a suffix that it does not load."""
    if graph.backend != backend.name:
        raise UsageError(
            f"The graph {graph.spec.name!r} is for {graph.backend!r}, not {backend.name!r}."
        )
    _check_floats(graph.floats, backend)
    for path in graph.files:
        with disk_errors(path), path.open("rb") as stream:
            if not stream.read(1):
                raise BadInput("This file is empty.", where=path)
    suffix = backend.suffixes[0]
    if not graph.files or graph.files[0].suffix != suffix:
        main = graph.files[0] if graph.files else graph.spec.name
        raise BadInput(f"The backend {backend.name!r} loads {suffix} files.", where=main)


def _check_floats(floats: FloatPrecision, backend: Backend) -> None:
    if floats not in backend.floats:
        raise UsageError(
            f"{backend.name} does not compute in {floats}.",
            hint=f"It has {', '.join(backend.floats)}.",
        )


@contextmanager
def runtime_errors(what: str, where: object, *, damaged: bool = False) -> Iterator[None]:
    """Turn whatever a runtime raises into `DeviceFailed`, or `BadInput` if the file is to blame; it
    never is for a full disk."""
    try:
        yield
    except EdgeanimError:
        raise
    except MemoryError as error:
        raise DeviceFailed(f"{what}: not enough memory.", where=where) from error
    except Exception as error:
        keep_interruption(error)
        if isinstance(error, OSError) and is_full(error):
            raise disk_error(error) from error
        kind = BadInput if damaged else DeviceFailed
        raise kind(f"{what}: {first_line(error)}", where=where) from error
