"""INT8 for ONNX Runtime: QuantizeLinear/DequantizeLinear pairs by its own static quantiser.

Activations are U8 and weights S8 per output channel, which is the only combination that pays on
x86; S8 activations are slower there than float32. Where U8xS8 saturates, weights keep to 7 bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from edgeanim.core.artifact import Array, GraphArtifact, Samples
from edgeanim.core.errors import MissingComponent
from edgeanim.core.files import atomic_path
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.chain import name_nodes, onnx_chain
from edgeanim.quantize.schemes.base import CompiledFloat
from edgeanim.targets.board import Board

# Tails beyond this percentile of all values are clipped when `ranges = "percentile"`.
PERCENTILE = 99.99


class OnnxQdq:
    """The scheme `onnx-qdq`."""

    name: ClassVar[str] = "onnx-qdq"
    extra: ClassVar[str] = "compress"

    def quantize(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
        compiled: CompiledFloat | None = None,  # noqa: ARG002 starts from the ONNX itself
    ) -> GraphArtifact:
        """See `Scheme.quantize`. Writes `<graph>.onnx`."""
        quantization = _quantizer()
        with tempfile.TemporaryDirectory(prefix="edgeanim-") as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            nodes = _prepare(artifact, spec.keep_float, prepared)
            path = out / f"{artifact.spec.name}.onnx"
            with atomic_path(path) as partial, quiet():
                quantization.quantize_static(
                    str(prepared),
                    str(partial),
                    _reader(quantization, samples),
                    quant_format=quantization.QuantFormat.QDQ,
                    nodes_to_quantize=list(nodes),
                    op_types_to_quantize=sorted(set(nodes.values())),
                    per_channel=True,
                    reduce_range=spec.reduce_range or board.saturates_u8s8,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    calibrate_method=_method(quantization, spec.ranges),
                    extra_options={
                        "CalibStridedMinMax": 1,  # collect sample by sample: bounded memory
                        "CalibTensorRangeSymmetric": False,
                        "CalibPercentile": PERCENTILE,
                    },
                )
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


def _method(quantization: Any, ranges: str) -> Any:
    methods = quantization.CalibrationMethod
    return {
        "minmax": methods.MinMax,
        "percentile": methods.Percentile,
    }[ranges]


def _prepare(artifact: GraphArtifact, keep_float: tuple[str, ...], out: Path) -> dict[str, str]:
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


def _reader(quantization: Any, samples: Samples) -> Any:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Feeds the samples one by one; the quantiser asks for each by its index range."""

        def __init__(self) -> None:
            self.iterator = iter(samples)
            self.left = 0

        def __len__(self) -> int:
            return len(samples)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = end_index - start_index

        def get_next(self) -> Mapping[str, Array] | None:
            if self.left == 0:
                return None
            self.left -= 1
            return next(self.iterator, None)

    return Reader()
