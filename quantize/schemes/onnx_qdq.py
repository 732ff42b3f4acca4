"""INT8 for ONNX Runtime: QuantizeLinear/DequantizeLinear pairs by its own static quantiser.

Ranges are our own. Activations are U8 and weights S8 per output channel, which is the only
combination that pays on x86; S8 activations are slower there than float32. Where U8xS8 saturates,
weights keep to 7 bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core.quiet import quiet
from edgeanim.graph.rewrites import channel_slopes, hard_gates, scaled_products, upsample_by_expand
from edgeanim.graph.shapes import infer_shapes
from edgeanim.quantize.runtimes.gates import gate_ranges
from edgeanim.quantize.runtimes.wide_depthwise import find_wide_depthwise
from edgeanim.quantize.schemes.qdq import Prepared, QdqScheme, RangesOf, load_prepared
from edgeanim.targets.board import Board


class OnnxQdq(QdqScheme):
    """The scheme `onnx-qdq`."""

    name: ClassVar[str] = "onnx-qdq"
    rounds_gates: ClassVar[bool] = True

    def slower_in_8_bits(self, model: Any, rounded: Collection[str], board: Board) -> set[str]:
        """See `QdqScheme.slower_in_8_bits`: measured on x86 alone."""
        return find_wide_depthwise(model, rounded) if board.arch == "x86_64" else set()

    def insert(
        self, prepared: Prepared, ranges_of: RangesOf, weights_in_7_bits: bool, out: Path
    ) -> None:
        """See `QdqScheme.insert`."""
        from onnxruntime import quantization

        with quiet():
            model = load_prepared(prepared.path)
            nodes = _without_clipped_outputs(model, prepared.nodes)
            job = quantization.QDQQuantizer(
                model,
                per_channel=True,
                reduce_range=weights_in_7_bits,
                weight_qType=quantization.QuantType.QInt8,
                activation_qType=quantization.QuantType.QUInt8,
                tensors_range=_tensors_data(prepared, ranges_of),
                nodes_to_quantize=list(nodes),
                nodes_to_exclude=[],
                op_types_to_quantize=sorted(set(nodes.values())),
                extra_options={},
            )
            job.quantize_model()
            job.model.topological_sort()  # shapes are inferred in the order of the nodes
            infer_shapes(job.model.model)
            hard_gates.rewrite(job.model.model)
            channel_slopes.rewrite(job.model.model)
            upsample_by_expand.rewrite(job.model.model)
            scaled_products.rewrite(job.model.model)
            job.model.save_model_to_file(str(out))


SCHEME = OnnxQdq()


def _without_clipped_outputs(model: Any, nodes: Mapping[str, str]) -> dict[str, str]:
    """The nodes to quantise, with their types, but for those that clip an output of the graph.

    The quantiser gives what a clipping alone reads the range of its result, and overlooks that the
    graph gives it, too: the output would come out clipped.
    """
    outputs = {value.name for value in model.graph.output}
    clipping = {
        node.name
        for node in model.graph.node
        if node.op_type in ("Clip", "Relu") and node.input[0] in outputs
    }
    return {name: kind for name, kind in nodes.items() if name not in clipping}


def _tensors_data(prepared: Prepared, ranges_of: RangesOf) -> Any:
    """The ranges of all activations around the nodes to quantise, in the quantiser's form."""
    import onnx
    from onnxruntime.quantization import calibrate

    model = onnx.load(str(prepared.path))
    graph, gates = model.graph, gate_ranges(model)
    constants = {tensor.name for tensor in graph.initializer}
    around = {
        name
        for node in graph.node
        if node.name in prepared.nodes
        for name in (*node.input, *node.output)
        if name and name not in constants
    }
    measured = ranges_of(sorted(around - gates.keys()))
    found = {
        name: (np.array(at.low, np.float32), np.array(at.high, np.float32))
        for name, at in {**measured, **gates}.items()
    }
    return calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, found)
