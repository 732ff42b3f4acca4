"""INT8 for ONNX Runtime: QuantizeLinear/DequantizeLinear pairs by its own static quantiser.

Ranges are our own. Activations are U8 and weights S8 per output channel, which is the only
combination that pays on x86; S8 activations are slower there than float32. Where U8xS8 saturates,
weights keep to 7 bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core.artifact import GraphArtifact, Samples
from edgeanim.core.errors import MissingComponent
from edgeanim.core.files import atomic_path
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec, Ranges
from edgeanim.quantize.chain import name_nodes, onnx_chain
from edgeanim.quantize.ranges import RangeTable, pick
from edgeanim.quantize.ranges_onnx import collect_ranges
from edgeanim.quantize.schemes.base import CompiledFloat
from edgeanim.targets.board import Board


class OnnxQdq:
    """The scheme `onnx-qdq`."""

    name: ClassVar[str] = "onnx-qdq"
    extra: ClassVar[str] = "compress"
    watches: ClassVar[str] = "onnx"

    def collect(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        board: Board,  # noqa: ARG002 the same on every one
        compiled: CompiledFloat | None = None,  # noqa: ARG002 starts from the ONNX itself
    ) -> RangeTable:
        """See `Scheme.collect`."""
        return collect_ranges(artifact, samples)

    def quantize(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
        compiled: CompiledFloat | None = None,
        table: RangeTable | None = None,
    ) -> GraphArtifact:
        """See `Scheme.quantize`. Writes `<graph>.onnx`."""
        quantization = _quantizer()
        with tempfile.TemporaryDirectory(prefix="edgeanim-") as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            nodes = prepare(artifact, spec.keep_float, prepared)
            if table is None:
                table = self.collect(artifact, samples, board, compiled)
            path = out / f"{artifact.spec.name}.onnx"
            with atomic_path(path) as partial, quiet():
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
                job.model.save_model_to_file(str(partial))
        return GraphArtifact(artifact.spec, path, self.name)


SCHEME = OnnxQdq()


def _quantizer() -> Any:
    try:
        with quiet():
            import onnx  # noqa: F401
            import onnxruntime.quantization as quantization
    except ImportError as error:
        raise MissingComponent(
            "Quantising for ONNX Runtime needs onnx and onnxruntime.", extra=OnnxQdq.extra
        ) from error
    return quantization


def prepare(artifact: GraphArtifact, keep_float: tuple[str, ...], out: Path) -> dict[str, str]:
    """Fold batch norms, infer shapes and name all nodes; the nodes to quantise with their types."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    named = onnx.load(str(artifact.path))
    name_nodes(named)
    source = out.with_name("named.onnx")
    onnx.save(named, str(source))
    with quiet():
        # Shapes are static already, so the symbolic pass (which needs sympy) has nothing to do.
        quant_pre_process(str(source), str(out), skip_symbolic_shape=True)
    prepared = onnx.load(str(out))
    name_nodes(prepared)
    onnx.save(prepared, str(out))
    chain = onnx_chain(prepared, keep_float, where=artifact.path)
    types = {node.name: node.op_type for node in prepared.graph.node}
    return {name: types[name] for name in chain.with_float_heads}


def at_opset_13(path: Path) -> Any:
    """The graph with its shapes, in an opset that has per-channel quantisation."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.quantize import update_opset_version

    return update_opset_version(load_model_with_shape_infer(path), QuantType.QInt8)


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
