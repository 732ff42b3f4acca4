"""INT8 for ONNX Runtime: QuantizeLinear/DequantizeLinear pairs by its own static quantiser.

Ranges are our own. Activations are U8 and weights S8 per output channel, which is the only
combination that pays on x86; S8 activations are slower there than float32. Where U8xS8 saturates,
weights keep to 7 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec, Ranges
from edgeanim.quantize.ranges import RangeTable, pick
from edgeanim.quantize.schemes.qdq import QdqScheme, at_opset_13
from edgeanim.targets.board import Board


class OnnxQdq(QdqScheme):
    """The scheme `onnx-qdq`."""

    name: ClassVar[str] = "onnx-qdq"

    def write(
        self,
        prepared: Path,
        nodes: Mapping[str, str],
        table: RangeTable,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
    ) -> None:
        """See `QdqScheme.write`."""
        from onnxruntime import quantization

        with quiet():
            job = quantization.QDQQuantizer(
                at_opset_13(prepared),
                per_channel=True,
                reduce_range=spec.reduce_range or board.saturates_u8s8,
                weight_qType=quantization.QuantType.QInt8,
                activation_qType=quantization.QuantType.QUInt8,
                tensors_range=_tensors_data(prepared, nodes, table, spec.ranges),
                nodes_to_quantize=list(nodes),
                nodes_to_exclude=[],
                op_types_to_quantize=sorted(set(nodes.values())),
                extra_options={},
            )
            job.quantize_model()
            job.model.save_model_to_file(str(out))


SCHEME = OnnxQdq()


def _tensors_data(
    prepared: Path, nodes: Mapping[str, str], table: RangeTable, method: Ranges
) -> Any:
    """The ranges of all activations around `nodes`, in the quantiser's form."""
    import onnx
    from onnxruntime.quantization import calibrate

    graph = onnx.load(str(prepared)).graph
    constants = {tensor.name for tensor in graph.initializer}
    around = {
        name
        for node in graph.node
        if node.name in nodes
        for name in (*node.input, *node.output)
        if name and name not in constants
    }
    found = {
        name: (np.array(at.low, np.float32), np.array(at.high, np.float32))
        for name, at in pick(table, method, sorted(around)).items()
    }
    return calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, found)
