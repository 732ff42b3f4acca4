"""INT8 for TFLite: static INT8 activations and per-channel weights by ai-edge-quantizer.

The graph is first converted to float32 TFLite; only the chain of convolutions in it is quantised.
Inputs and outputs stay float32. Ranges are our own: the quantiser's calibration keeps a moving
average that weighs the first sample most, and it cannot stream.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgeanim.core import offline
from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact, Samples
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import BadInput, MissingComponent
from edgeanim.core.files import write_bytes
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.chain import check_names, find_chain, name_nodes
from edgeanim.quantize.flat_graph import FlatGraph
from edgeanim.quantize.ranges import Histogram, RangeTable, tabulate
from edgeanim.quantize.schemes.base import CompiledFloat
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board

# Whose float32 file the quantiser works on.
BACKEND = "tflite"


class TfLiteInt8:
    """The scheme `tflite-int8`."""

    name: ClassVar[str] = "tflite-int8"
    extra: ClassVar[str] = "compress"
    watches: ClassVar[str] = "tflite"

    def collect(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        board: Board,
        compiled: CompiledFloat | None = None,
    ) -> RangeTable:
        """See `Scheme.collect`."""
        _quantizer()
        with _converted(artifact, board, compiled) as converted:
            return _collect(converted, artifact.spec.inputs, samples)

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
        """See `Scheme.quantize`. Writes `<graph>.tflite`.

        `keep_float` can name convolutions only, which are found by their weights: all other nodes
        lose their names on the way. XNNPACK multiplies without saturation, so `reduce_range` and
        the board's silicon make no difference.
        """
        quantizer = _quantizer()
        kernels = _kernels(artifact.path, spec.keep_float)
        with _converted(artifact, board, compiled) as converted:
            graph = FlatGraph(converted.files[0])
            kept = graph.holders(kernels)
            chain = find_chain(graph.nodes(kept), where=artifact.path)
            if table is None:
                table = _collect(converted, artifact.spec.inputs, samples)
            with quiet():
                recipe = _recipe(graph, chain.with_float_heads)
                job = quantizer.Quantizer(str(converted.files[0]), recipe)
                ranges = graph.statistics(table, spec.ranges)
                made = job.quantize(ranges, enable_progress_report=False)
        path = out / f"{artifact.spec.name}.tflite"
        write_bytes(path, bytes(made.quantized_model))
        return GraphArtifact(artifact.spec, path, self.name)


SCHEME = TfLiteInt8()


def _quantizer() -> Any:
    offline.apply()
    try:
        with quiet():
            import ai_edge_litert.interpreter  # noqa: F401
            import onnx  # noqa: F401
            from ai_edge_quantizer import quantizer
    except ImportError as error:
        raise MissingComponent(
            "Quantising for TFLite needs onnx, ai-edge-litert and ai-edge-quantizer.",
            extra=TfLiteInt8.extra,
        ) from error
    return quantizer


@contextmanager
def _converted(
    artifact: GraphArtifact, board: Board, compiled: CompiledFloat | None
) -> Iterator[CompiledGraph]:
    """The float32 TFLite form of `artifact`, from `compiled` if there is one."""
    source = GraphArtifact(artifact.spec, artifact.path)
    if compiled is not None:
        yield compiled(source, BACKEND)
        return
    with tempfile.TemporaryDirectory(prefix="edgeanim-") as scratch:
        yield get_backend(BACKEND).compile(source, board, Path(scratch))


def _kernels(path: Path, keep_float: tuple[str, ...]) -> list[tuple[str, Array]]:
    """The kernels of the convolutions named by `keep_float`."""
    if not keep_float:
        return []
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    name_nodes(model)
    nodes = {node.name: node for node in model.graph.node}
    check_names(keep_float, list(nodes), where=path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = []
    for name in keep_float:
        node = nodes[name]
        if node.op_type != "Conv" or node.input[1] not in weights:
            raise BadInput(
                f"`keep_float` names {name!r}, a {node.op_type}; for TFLite it can name "
                "convolutions only.",
                where=path,
            )
        kernels.append((name, numpy_helper.to_array(weights[node.input[1]])))
    return kernels


def _recipe(graph: FlatGraph, names: Sequence[str]) -> Any:
    from ai_edge_quantizer import recipe_manager

    manager = recipe_manager.RecipeManager()
    for name in names:
        manager.add_static_config(
            regex=f"^{re.escape(name)}$",
            operation_name=graph.types[name],
            activation_num_bits=8,
            weight_num_bits=8,
        )
    return manager.get_quantization_recipe()


def _collect(
    converted: CompiledGraph, inputs: Sequence[TensorSpec], samples: Samples
) -> RangeTable:
    """The ranges of every float tensor of the float graph, run sample by sample."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(
            model_path=str(converted.files[0]),
            num_threads=1,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    positions = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    histograms: dict[str, Histogram] = defaultdict(Histogram)
    for sample in samples:
        for spec, target in zip(inputs, converted.spec.inputs, strict=True):
            index = positions[converted.bindings[spec.name]]
            interpreter.set_tensor(index, in_layout(sample[spec.name], spec, target))
        interpreter.invoke()
        for name, values in _activations(interpreter):
            histograms[name].add(values)
    return tabulate(histograms)


def in_layout(array: Array, given: TensorSpec, wanted: TensorSpec) -> Array:
    """`array` in the layout of `given`, transposed to that of `wanted`."""
    if given.layout == wanted.layout or "plain" in (given.layout, wanted.layout):
        return array
    order = (0, 2, 3, 1) if wanted.layout == "NHWC" else (0, 3, 1, 2)
    return np.ascontiguousarray(array.transpose(order))


def _activations(interpreter: Any) -> Iterator[tuple[str, Array]]:
    """Every float tensor of the last run that has a value."""
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is np.float32 and detail["name"]:
            try:
                yield detail["name"], interpreter.get_tensor(detail["index"])
            except ValueError:  # a tensor of a fused op, which is never computed
                continue
