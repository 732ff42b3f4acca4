"""How much each convolution suffers on its own: the error at the graph's outputs, cheaply.

One convolution at a time gets 8-bit weights, an 8-bit input and an 8-bit output, all else stays in
float, and the graph runs on a few samples in ONNX Runtime. The figures order the layers; what a set
of them does to the picture is measured on real frames afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.artifact import Array, Samples
from edgeanim.core.contract import GraphSpec
from edgeanim.core.recipe import Ranges
from edgeanim.graph.edit import replace_nodes
from edgeanim.graph.order import in_order
from edgeanim.quantize.float_session import open_session
from edgeanim.quantize.ranges.errors import LEVELS
from edgeanim.quantize.ranges.histogram import Histograms
from edgeanim.quantize.ranges.methods import TensorRange, ranges_in
from edgeanim.quantize.rounding import rounded_within

SAMPLES = 3


def layer_errors(
    path: Path,
    spec: GraphSpec,
    convolutions: Iterable[str],
    samples: Samples,
    histograms: Histograms,
    method: Ranges,
    *,
    weight_limit: float,
) -> dict[str, float]:
    """For each of `convolutions`, nodes of the named ONNX graph at `path`: the squared error at
    the outputs relative to their variance, worst output counting, when it alone runs in INT8 with
    weights of at most `weight_limit` steps of their grid."""
    import onnx

    model = onnx.load(str(path))
    outputs = [tensor.name for tensor in spec.outputs]
    fed = [dict(sample) for sample in islice(iter(samples), SAMPLES)]
    wanted = _run(model, outputs, fed)
    errors = {}
    for name in convolutions:
        rounded = deepcopy(model)
        _round(rounded, name, histograms, method, weight_limit)
        errors[name] = _distance(_run(rounded, outputs, fed), wanted)
    return errors


def _round(model: Any, name: str, histograms: Histograms, method: Ranges, limit: float) -> None:
    """Put the convolution `name` of `model` on the grids of INT8."""
    from onnx import numpy_helper

    graph = model.graph
    node = next(node for node in graph.node if node.name == name)
    kernel = next(tensor for tensor in graph.initializer if tensor.name == node.input[1])
    weights = numpy_helper.from_array(rounded_weights(numpy_helper.to_array(kernel), limit))
    weights.name = f"{name}/rounded"
    graph.initializer.append(weights)
    node.input[1] = weights.name
    end = _end(graph, node)
    at = ranges_in(histograms, method, [node.input[0], end])
    source = node.input[0]
    node.input[0] = _through_int8(graph, f"{name}/in", source, at[source])
    readers = [other for other in graph.node if end in other.input]
    rounded = _through_int8(graph, f"{name}/out", end, at[end])
    for reader in readers:
        for i, read in enumerate(reader.input):
            if read == end:
                reader.input[i] = rounded
    replace_nodes(graph, in_order(list(graph.node)))


def _end(graph: Any, node: Any) -> str:
    """Where runtimes quantise what `node` gives: behind the clipping that is fused into it."""
    end: str = node.output[0]
    readers = [other for other in graph.node if end in other.input]
    given = any(value.name == end for value in graph.output)
    if len(readers) == 1 and not given and readers[0].op_type in ("Relu", "Clip"):
        end = readers[0].output[0]
    return end


def _through_int8(graph: Any, prefix: str, tensor: str, at: TensorRange) -> str:
    """Add nodes that round `tensor` to U8 over the range `at`; the name of the result."""
    from onnx import helper, numpy_helper

    scale, zero = grid(at)
    ends = [f"{prefix}/scale", f"{prefix}/zero"]
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), ends[0]))
    graph.initializer.append(numpy_helper.from_array(np.array(zero, np.uint8), ends[1]))
    graph.node.append(helper.make_node("QuantizeLinear", [tensor, *ends], [f"{prefix}/int8"]))
    result = f"{prefix}/float"
    graph.node.append(helper.make_node("DequantizeLinear", [f"{prefix}/int8", *ends], [result]))
    return result


def grid(at: TensorRange) -> tuple[float, int]:
    """Scale and zero point of U8 for the range `at`."""
    scale = (at.high - at.low) / (LEVELS - 1) or 1.0
    return scale, round(-at.low / scale)


def rounded_weights(kernel: Array, limit: float) -> Array:
    """`kernel` [O, ...] rounded to `limit` levels on each side of zero, per channel."""
    peak = np.abs(kernel).reshape(len(kernel), -1).max(1).reshape(-1, *[1] * (kernel.ndim - 1))
    scale = np.maximum(peak / limit, np.finfo(np.float32).tiny)
    rounded: Array = (rounded_within(kernel / scale, limit) * scale).astype(np.float32)
    return rounded


def _run(model: Any, outputs: list[str], fed: list[dict[str, Array]]) -> list[list[Array]]:
    session = open_session(model)
    return [session.run(outputs, sample) for sample in fed]


def _distance(found: list[list[Array]], wanted: list[list[Array]]) -> float:
    """The mean over the samples of the worst output's relative squared error."""
    tiny = float(np.finfo(np.float32).tiny)
    worst = [
        max(
            float(np.mean((a - b) ** 2) / max(np.var(b), tiny))
            for a, b in zip(ours, theirs, strict=True)
        )
        for ours, theirs in zip(found, wanted, strict=True)
    ]
    return float(np.mean(worst))
