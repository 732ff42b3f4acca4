"""What each convolution of a graph costs on the target, measured, by how many channels it has.

Every distinct layer is run on its own, with all and with half of its input and output channels. In
between, and below, its time is bilinear in the two. A layer alone pays for bringing its input into
the runtime's own layout, so the sum is no forecast of the graph's time; what counts here is which
layers pay for losing channels, and which do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.scratch import scratch_folder
from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.quantize.pruning.allocation import Layer
from edgeanim.quantize.pruning.channels import Kind, kind_of
from edgeanim.targets.backends import Backend, SessionOptions

if TYPE_CHECKING:
    import torch
    from torch import fx

    from edgeanim.targets.board import Board

_ROUNDS = 9
_WARM_UP = 3


@dataclass(frozen=True)
class LayerShape:
    """A convolution: `size` is its input's height and width, `padding` on both sides, `extra` what
    a transposed one adds below and to the right. A grouped one, such as a depthwise one, has whole
    `groups` of channels."""

    inputs: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    kind: Kind = "plain"
    extra: tuple[int, int] = (0, 0)
    groups: int = 1

    @property
    def output_size(self) -> tuple[int, int]:
        """The height and width that it gives."""
        height, width = (self._output_along(axis) for axis in (0, 1))
        return height, width

    def _output_along(self, axis: int) -> int:
        size, step, pad = self.size[axis], self.stride[axis], self.padding[axis]
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        if self.kind == "transposed":
            return (size - 1) * step - 2 * pad + reach + self.extra[axis]
        return (size + 2 * pad - reach) // step + 1

    @property
    def halves(self) -> tuple[tuple[int, int], ...]:
        """The (inputs, outputs) to measure: half and half, half and all, all and half, all."""
        return tuple(
            (i, o)
            for i in (self.half(self.inputs), self.inputs)
            for o in (self.half(self.outputs), self.outputs)
        )

    def half(self, channels: int) -> int:
        """Half of its inputs or outputs, or a few more."""
        if self.kind != "grouped":
            return -(-channels // 2)
        return -(-self.groups // 2) * (channels // self.groups)


@dataclass(frozen=True)
class LayerTime:
    """Milliseconds of a layer in the order of `LayerShape.halves`."""

    shape: LayerShape
    ms: tuple[float, float, float, float]

    def at(self, inputs: int, outputs: int) -> float:
        """Milliseconds with so many channels, never negative."""
        across = _position(inputs, self.shape.half(self.shape.inputs), self.shape.inputs)
        down = _position(outputs, self.shape.half(self.shape.outputs), self.shape.outputs)
        few, many = ((1 - down) * self.ms[i] + down * self.ms[i + 1] for i in (0, 2))
        return max(0.0, (1 - across) * few + across * many)


@dataclass(frozen=True)
class LayerTimes:
    """The measured layers of one graph, by their names in the imported module."""

    layers: Mapping[str, LayerTime]

    def of(self, name: str) -> Layer:
        """The layer of this name as allocation wants it."""
        measured = self.layers[name]
        return Layer(measured.shape.inputs, measured.shape.outputs, measured.at)


def layer_shapes(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> dict[str, LayerShape]:
    """The convolutions of a traced module that can lose channels by name, with the sizes that
    `example` gives."""
    sizes = traced_shapes(module, example)
    layers: dict[str, Any] = dict(module.named_modules())
    kinds = {name: kind for name, layer in layers.items() if (kind := kind_of(layer)) is not None}
    shapes: dict[str, LayerShape] = {}
    for node in module.graph.nodes:
        name = str(node.target)
        if node.op == "call_module" and name in kinds:
            layer = layers[name]
            height, width = sizes[node.args[0].name][2:]
            shapes[name] = LayerShape(
                inputs=layer.in_channels,
                outputs=layer.out_channels,
                size=(height, width),
                kernel=tuple(layer.kernel_size),
                stride=tuple(layer.stride),
                padding=tuple(layer.padding),
                dilation=tuple(layer.dilation),
                kind=kinds[name],
                extra=tuple(layer.output_padding),
                groups=layer.groups,
            )
    return shapes


def measure_layers(
    shapes: Mapping[str, LayerShape],
    backend: Backend,
    board: Board,
    options: SessionOptions,
    progress: Progress = SILENT,
) -> LayerTimes:
    """Time each distinct layer of `shapes` on this machine with `backend`."""
    distinct = list(dict.fromkeys(shapes.values()))
    progress.stage(f"Time the layers on {backend.name}", len(distinct))
    times = {}
    for shape in distinct:
        times[shape] = _measure(shape, backend, board, options)
        progress.step(note=f"{shape.inputs}→{shape.outputs} at {shape.size[0]}×{shape.size[1]}")
    progress.done()
    return LayerTimes({name: times[shape] for name, shape in shapes.items()})


def _measure(
    shape: LayerShape, backend: Backend, board: Board, options: SessionOptions
) -> LayerTime:
    """The four sizes in turn, several times over; the least of each, free of what disturbs."""
    with scratch_folder("layer") as scratch, ExitStack() as stack:
        runs: dict[tuple[int, int], Callable[[], object]] = {}
        for inputs, outputs in shape.halves:
            folder = scratch / f"{inputs}-{outputs}"
            folder.mkdir(exist_ok=True)
            artifact = _single(shape, inputs, outputs, folder)
            compiled = backend.compile(artifact, board, folder / "compiled")
            session = backend.load(compiled, options)
            stack.callback(session.close)
            (given,) = session.spec.inputs
            feed = {given.name: np.full(given.shape, 0.5, np.float32)}
            runs[inputs, outputs] = partial(session.run, feed)
        for run in [*runs.values()] * _WARM_UP:
            run()
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(_ROUNDS):
            for size, run in runs.items():
                best[size] = min(best[size], _timed_ms(run))
        a, b, c, d = (best[size] for size in shape.halves)
    return LayerTime(shape, (a, b, c, d))


def _timed_ms(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - began)


def _single(shape: LayerShape, inputs: int, outputs: int, folder: Path) -> GraphArtifact:
    """The layer as a graph of its own, with a ReLU behind it as in most nets."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    groups = 1
    if shape.kind == "grouped":
        groups = shape.groups * inputs // shape.inputs
        outputs = groups * shape.outputs // shape.groups
    given, made = (1, inputs, *shape.size), (1, outputs, *shape.output_size)
    stored = {
        "w": _kernel(shape, inputs, outputs, groups),
        "b": np.zeros(outputs, np.float32),
    }
    graph = helper.make_graph(
        [_convolution(shape, groups), helper.make_node("Relu", ["c"], ["y"], "relu")],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, made)],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = folder / "layer.onnx"
    onnx.save(model, str(path))
    spec = GraphSpec(
        name="layer",
        file=path.name,
        runs="frame",
        inputs=(TensorSpec("x", "feature:x", given, "NCHW"),),
        outputs=(TensorSpec("y", "feature:y", made, "NCHW"),),
    )
    return GraphArtifact(spec, path)


def _kernel(shape: LayerShape, inputs: int, outputs: int, groups: int) -> Array:
    across = (inputs, outputs) if shape.kind == "transposed" else (outputs, inputs // groups)
    kernel = np.random.default_rng(0).normal(0, 0.1, (*across, *shape.kernel))
    return kernel.astype(np.float32)


def _convolution(shape: LayerShape, groups: int) -> Any:
    """An ONNX node that makes `c` of `x`, the kernel `w` and the bias `b`."""
    from onnx import helper

    transposed = shape.kind == "transposed"
    return helper.make_node(
        "ConvTranspose" if transposed else "Conv",
        ["x", "w", "b"],
        ["c"],
        "conv",
        strides=list(shape.stride),
        pads=[*shape.padding, *shape.padding],
        dilations=list(shape.dilation),
        group=groups,
        **({"output_padding": list(shape.extra)} if transposed else {}),
    )


def _position(channels: int, half: int, full: int) -> float:
    """Where between half (0) and all (1) of the channels this is; below half it is negative."""
    return 1.0 if half == full else (channels - half) / (full - half)
