"""INT8 for TensorRT (Jetson): ONNX with symmetric signed quantisers where TensorRT wants them.

Before every convolution, on its input and its weights, and before the sums between convolutions;
TensorRT moves quantisers through pooling, concatenation and resizing by itself and fuses what
follows a convolution into it. Activations have one scale, weights one per output channel, biases
stay in float. What is written has passed `edgeanim.quantize.runtimes.tensorrt_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.graph.edit import replace_nodes
from edgeanim.quantize.runtimes.tensorrt_rules import check_tensorrt
from edgeanim.quantize.schemes.qdq import Prepared, QdqScheme, RangesOf, load_prepared

_LIMIT = 127


class TensorRtQdq(QdqScheme):
    """The scheme `tensorrt-qdq`."""

    name: ClassVar[str] = "tensorrt-qdq"
    seven_bit_limit: ClassVar[float] = float(_LIMIT)  # no GPU saturates

    def insert(
        self,
        prepared: Prepared,
        ranges_of: RangesOf,
        weights_in_7_bits: bool,  # noqa: ARG002 see `seven_bit_limit`
        out: Path,
    ) -> None:
        """See `QdqScheme.insert`."""
        import onnx

        model = load_prepared(prepared.path)
        ranges = ranges_of(_to_round(model.graph, prepared.nodes))
        _insert(model.graph, prepared.nodes, {name: at.bound for name, at in ranges.items()})
        check_tensorrt(model, where=self.name)
        onnx.save(model, str(out))


SCHEME = TensorRtQdq()


def _activations(graph: Any, node: Any) -> list[int]:
    """The positions of the inputs of a node to quantise that are activations to round."""
    constants = {tensor.name for tensor in graph.initializer}
    if node.op_type == "Conv":
        return [0]
    if node.op_type == "Add":
        return [i for i, name in enumerate(node.input) if name not in constants]
    return []


def _to_round(graph: Any, nodes: Iterable[str]) -> list[str]:
    """The activations that get a quantiser, each once, in the graph's order."""
    chosen = set(nodes)
    found: dict[str, None] = {}
    for node in graph.node:
        if node.name in chosen:
            found.update(dict.fromkeys(node.input[i] for i in _activations(graph, node)))
    return list(found)


def _insert(graph: Any, nodes: Iterable[str], bounds: dict[str, float]) -> None:
    """Round the activations of `bounds` and the weights of the convolutions among `nodes`."""
    from onnx import numpy_helper

    chosen = set(nodes)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, list[Any]] = {}
    for name, bound in bounds.items():
        scale = np.array(bound / _LIMIT or 1.0, np.float32)
        made[name] = _pair(graph, name, scale)
    ordered: list[Any] = []
    placed: set[str] = set()
    for node in list(graph.node):
        if node.name in chosen:
            for i in _activations(graph, node):
                source = node.input[i]
                if source not in placed:
                    placed.add(source)
                    ordered += made[source]
                node.input[i] = made[source][1].output[0]
            if node.op_type == "Conv":
                kernel = numpy_helper.to_array(weights[node.input[1]])
                pair = _pair(graph, f"{node.name}/{node.input[1]}", _scales(kernel), node.input[1])
                ordered += pair
                node.input[1] = pair[1].output[0]
        ordered.append(node)
    replace_nodes(graph, ordered)


def _scales(kernel: Array) -> Array:
    """One scale per output channel of a kernel [O, ...]."""
    peak = np.abs(kernel).reshape(len(kernel), -1).max(1)
    scales: Array = np.where(peak > 0, peak / _LIMIT, 1.0).astype(np.float32)
    return scales


def _pair(graph: Any, label: str, scale: Array, source: str | None = None) -> list[Any]:
    """Quantiser and dequantiser of the tensor `source` (by default called `label`)."""
    from onnx import helper, numpy_helper

    ends = [f"{label}/scale", f"{label}/zero"]
    graph.initializer.append(numpy_helper.from_array(scale, ends[0]))
    graph.initializer.append(numpy_helper.from_array(np.zeros(scale.shape, np.int8), ends[1]))
    axis = {"axis": 0} if scale.ndim else {}
    between, result = f"{label}/int8", f"{label}/rounded"
    return [
        helper.make_node(
            "QuantizeLinear", [source or label, *ends], [between], f"{label}/quantize", **axis
        ),
        helper.make_node(
            "DequantizeLinear", [between, *ends], [result], f"{label}/dequantize", **axis
        ),
    ]
