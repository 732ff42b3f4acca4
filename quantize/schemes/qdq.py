"""What the forms of ONNX with QuantizeLinear/DequantizeLinear pairs have in common."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from edgeanim.core.artifact import GraphArtifact, Samples
from edgeanim.core.errors import MissingComponent
from edgeanim.core.files import atomic_path
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.chain import name_nodes, onnx_chain
from edgeanim.quantize.ranges import RangeTable
from edgeanim.quantize.ranges_onnx import collect_ranges
from edgeanim.quantize.schemes.base import CompiledFloat
from edgeanim.targets.board import Board


class QdqScheme(ABC):
    """Ranges of the ONNX itself, one prepared graph, one file; a form says where its pairs go."""

    name: ClassVar[str]
    extra: ClassVar[str] = "compress"
    watches: ClassVar[str] = "onnx"

    @abstractmethod
    def write(
        self,
        prepared: Path,
        nodes: Mapping[str, str],
        table: RangeTable,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
    ) -> None:
        """Quantise the graph in `prepared`, of which `nodes` (with their types) are meant, and
        write it to `out`. `BadInput` if the result breaks a rule of whoever will run it."""

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
        _require_quantizer()
        path = out / f"{artifact.spec.name}.onnx"
        with tempfile.TemporaryDirectory(prefix="edgeanim-") as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            nodes = _prepare(artifact, spec.keep_float, prepared)
            if table is None:
                table = self.collect(artifact, samples, board, compiled)
            with atomic_path(path) as partial:
                self.write(prepared, nodes, table, spec, board, partial)
        return GraphArtifact(artifact.spec, path, self.name)


def at_opset_13(path: Path) -> Any:
    """The graph with its shapes, in an opset that has per-channel quantisation."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.quantize import update_opset_version

    return update_opset_version(load_model_with_shape_infer(path), QuantType.QInt8)


def _require_quantizer() -> None:
    try:
        with quiet():
            import onnx  # noqa: F401
            import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise MissingComponent(
            "Quantising an ONNX graph needs onnx and onnxruntime.", extra=QdqScheme.extra
        ) from error


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
