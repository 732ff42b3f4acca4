"""From an ONNX graph to a TFLite file, by way of PyTorch, with channels last at both ends."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.artifact import Array, relayout
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed, GateFailed, first_line
from edgeanim.core.files import atomic_path
from edgeanim.core.native import native_name
from edgeanim.core.packages import require
from edgeanim.core.quiet import log, quiet
from edgeanim.graph.queries import node_label
from edgeanim.graph.reference import deviation
from edgeanim.targets.checks import OTHER_BACKENDS
from edgeanim.targets.tflite_graph import open_interpreter

_BACKEND = "tflite"
TOLERANCE = 1e-4
# What the converter raises for a graph that it cannot bring over.
_REFUSALS = (RuntimeError, ValueError, NotImplementedError, TypeError, KeyError)
_PLACE = re.compile(r"Failed to run converter passes: (\S+):(\d+):\d+: error: ")
"""Where the converter says that it failed: a file of Python and the line there."""
_IMPORTED = "<eval_with_key>"
"""What PyTorch calls the code of a graph that was put together."""


def convert(source: Path, spec: GraphSpec, path: Path) -> None:
    """Write the float32 ONNX graph `source` as the TFLite file `path`.

    Pictures and feature maps that are NCHW in `spec` become NHWC in the file, but for outputs of
    which the converter cannot make it: they keep their layout. The file is then
    run on one random sample and compared with the PyTorch module it came from: `GateFailed` if
    they differ by more than 1e-4 of the largest value, and than rounding explains. `BadInput` names
    what cannot be converted.
    """
    get_ready()
    from edgeanim.graph.pytorch.to_torch import import_torch

    # The importer lowers warps, so that TFLite's own decomposition of 40 ops never happens.
    with _collecting_rarely():
        _export(import_torch(source), spec, path, source)


def get_ready() -> None:
    """Import what `convert` needs, of which litert-torch takes seconds. `MissingComponent` without
    it. Takes away what jax, which it brings, hangs on garbage collection."""
    # Python drops what is raised while a collection calls back, so Ctrl-C would be lost there.
    collects = gc.isenabled()
    gc.disable()
    try:
        require(f"The backend {_BACKEND!r}", "litert_torch", extra="compress")
    finally:
        gc.callbacks[:] = [hook for hook in gc.callbacks if not _of_jax(hook)]
        if collects:
            gc.enable()


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """The converter makes and keeps millions of small objects. Looking through them all after every
    700 new ones, as Python does, takes a tenth of its time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _of_jax(hook: Callable[..., object]) -> bool:
    return str(getattr(hook, "__module__", "")).split(".")[0] in ("jax", "jaxlib")


def _export(graph: Any, spec: GraphSpec, path: Path, source: Path) -> None:
    """Convert what was imported to a file that takes and gives the tensors of `spec` in order."""
    import torch

    from edgeanim.graph.pytorch.bands import in_bands
    from edgeanim.graph.pytorch.operand_order import without_leading_constants
    from edgeanim.graph.pytorch.vectors import as_columns, as_pixels

    _refuse_sums(graph, source)
    in_bands(graph.module)
    as_pixels(graph.module)
    as_columns(graph.module)
    module = graph.in_order(spec)
    inputs = [_sample(tensor, seed) for seed, tensor in enumerate(spec.inputs)]
    with torch.no_grad():
        expected = [t.numpy() for t in module(*(torch.from_numpy(a) for a in inputs))]

    def made() -> tuple[GraphSpec, list[Array], list[Array]]:
        try:
            filed = _converted(module, spec, inputs, path)
        except _REFUSALS as error:
            raise _refused(graph, error, source) from error
        got = _run(path, _relaid(inputs, spec.inputs, filed.inputs), source)
        return filed, _relaid(expected, spec.outputs, filed.outputs), got

    filed, wanted, got = made()
    if not _alike(wanted, got) and without_leading_constants(graph.module):
        filed, wanted, got = made()
    if not _alike(wanted, got):
        named = {tensor.name: array for tensor, array in zip(spec.inputs, inputs, strict=True)}
        _gate(filed, wanted, got, graph.tolerance_of(named, TOLERANCE), path)


def _alike(wanted: Sequence[Array], got: Sequence[Array]) -> bool:
    return max(map(deviation, wanted, got)) <= TOLERANCE


def _converted(module: Any, spec: GraphSpec, inputs: Sequence[Array], path: Path) -> GraphSpec:
    """Write the file, with channels-last outputs if there is such a form; raises one of `_REFUSALS`
    if there is none at all."""
    try:
        return _convert(module, spec, _as_filed(spec, outputs_last=True), inputs, path)
    except _REFUSALS as first:
        # litert-torch 0.10 can trip over a channels-last output that the graph itself goes on to
        # use ("does not dominate this use"); in their own layout the same outputs convert.
        log.debug("%s: channels-last outputs refused: %s", spec.name, first_line(first))
        return _convert(module, spec, _as_filed(spec, outputs_last=False), inputs, path)


def _refuse_sums(graph: Any, source: Path) -> None:
    """`BadInput` for a node that adds up what falls on one place, as a forward warp does: the
    converter takes it, and TFLite does not take what it makes of it."""
    from edgeanim.graph.edit import attributes

    for node in graph.normalized.graph.node:
        if node.op_type.startswith("Scatter") and attributes(node).get("reduction") == "add":
            raise BadInput(
                f"TFLite has no form for the op {node.op_type} of node {node_label(node)}: it adds "
                "up what falls on one place.",
                where=source,
                hint=OTHER_BACKENDS,
            )


def _refused(graph: Any, error: BaseException, source: Path) -> BadInput:
    """What the converter says of an imported graph, with the ONNX node that it says it of, if that
    can be told."""
    reason, part = first_line(error), "this graph"
    if place := _PLACE.match(reason):
        reason = reason[place.end() :]
        node = graph.node_at(int(place[2])) if place[1].startswith(_IMPORTED) else None
        if node is not None:
            part = f"the op {node.op_type} of node {node_label(node)} as it is used here"
    return BadInput(f"TFLite has no form for {part}: {reason}", where=source, hint=OTHER_BACKENDS)


def _as_filed(spec: GraphSpec, *, outputs_last: bool) -> GraphSpec:
    """`spec` in the layouts that the file is to have."""
    return replace(
        spec,
        inputs=tuple(tensor.in_layout("NHWC") for tensor in spec.inputs),
        outputs=tuple(t.in_layout("NHWC") if outputs_last else t for t in spec.outputs),
    )


def _convert(
    module: Any, spec: GraphSpec, filed: GraphSpec, inputs: Sequence[Array], path: Path
) -> GraphSpec:
    """Write the file with the layouts of `filed`; raises one of `_REFUSALS`."""
    import torch

    arguments = [torch.from_numpy(a) for a in _relaid(inputs, spec.inputs, filed.inputs)]
    with quiet():
        import litert_torch

        wrapped = litert_torch.to_channel_last_io(
            module,
            args=_turned(spec.inputs, filed.inputs),
            outputs=_turned(spec.outputs, filed.outputs),
        )
        converted = litert_torch.convert(wrapped.eval(), tuple(arguments))
        with atomic_path(path) as partial, native_name(partial) as name:
            converted.export(name)
    return filed


def _sample(tensor: TensorSpec, seed: int) -> Array:
    low, high = tensor.range or (-1.0, 1.0)
    values = np.random.default_rng(seed).uniform(low, high, tensor.shape)
    return values.astype(np.float32)


def _turned(own: Sequence[TensorSpec], filed: Sequence[TensorSpec]) -> list[int]:
    """The positions of the tensors that the file has in another layout."""
    pairs = enumerate(zip(own, filed, strict=True))
    return [index for index, (tensor, there) in pairs if tensor.layout != there.layout]


def _relaid(
    arrays: Sequence[Array], own: Sequence[TensorSpec], filed: Sequence[TensorSpec]
) -> list[Array]:
    """`arrays` in the layouts of the file."""
    return [
        relayout(array, tensor.layout, there.layout)
        for array, tensor, there in zip(arrays, own, filed, strict=True)
    ]


def _run(path: Path, arguments: Sequence[Array], source: Path) -> list[Array]:
    """The outputs of the file made of `source`; `BadInput` if the runtime refuses it."""
    try:
        interpreter = open_interpreter(path)
    except DeviceFailed as error:
        path.unlink(missing_ok=True)
        raise BadInput(
            f"What the converter makes of this graph is no usable file. {error.what}",
            where=source,
            hint=OTHER_BACKENDS,
        ) from error
    with quiet():
        runner = interpreter.get_signature_runner()
        named = {f"args_{index}": argument for index, argument in enumerate(arguments)}
        outputs = runner(**named)
    return [outputs[f"output_{index}"] for index in range(len(outputs))]


def _gate(
    spec: GraphSpec, expected: Sequence[Array], actual: Sequence[Array], limit: float, path: Path
) -> None:
    for tensor, want, got in zip(spec.outputs, expected, actual, strict=True):
        error = deviation(want, got)
        if not error <= limit:
            path.unlink(missing_ok=True)
            raise GateFailed(
                f"The TFLite graph differs from its PyTorch original by {error:.2g} in "
                f"{tensor.name!r}; the limit is {limit:.0e}.",
                where=path,
                hint=OTHER_BACKENDS,
            )
