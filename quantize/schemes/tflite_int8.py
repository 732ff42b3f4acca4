"""INT8 for TFLite: static INT8 activations and per-channel weights by ai-edge-quantizer.

The graph is first converted to float32 TFLite; only the chain of convolutions in it is quantised.
Inputs and outputs stay float32. Ranges are collected here: the quantiser's own calibration keeps a
moving average that weighs the first sample most, and it cannot stream.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from edgeanim.core import offline
from edgeanim.core.artifact import Array, CompiledGraph, GraphArtifact, Samples
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import BadInput, MissingComponent
from edgeanim.core.files import write_bytes
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.quantize.chain import Node, check_names, find_chain, name_nodes
from edgeanim.quantize.schemes.base import CompiledFloat
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import Board

# Each tail beyond this share of a sample's values is clipped when `ranges = "percentile"`.
OUTLIERS = 1e-4
GLUE = (
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "MAX_POOL_2D",
    "MIRROR_PAD",
    "PAD",
    "RELU",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "SPACE_TO_DEPTH",
    "TRANSPOSE",
)
# The weights' shapes: OHWI, 1HWO and OHWI.
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE")

# Whose float32 file the quantiser works on.
BACKEND = "tflite"

Ranges = dict[str, dict[str, Array]]


class TfLiteInt8:
    """The scheme `tflite-int8`."""

    name: ClassVar[str] = "tflite-int8"
    extra: ClassVar[str] = "compress"

    def quantize(
        self,
        artifact: GraphArtifact,
        samples: Samples,
        spec: QuantizeSpec,
        board: Board,
        out: Path,
        compiled: CompiledFloat | None = None,
    ) -> GraphArtifact:
        """See `Scheme.quantize`. Writes `<graph>.tflite`.

        `keep_float` can name convolutions only, which are found by their weights: all other nodes
        lose their names on the way. XNNPACK multiplies without saturation, so `reduce_range` and
        the board's silicon make no difference.
        """
        quantizer = _quantizer()
        kernels = _kernels(artifact.path, spec.keep_float)
        with tempfile.TemporaryDirectory(prefix="edgeanim-") as scratch:
            source = GraphArtifact(artifact.spec, artifact.path)
            if compiled is not None:
                converted = compiled(source, BACKEND)
            else:
                converted = get_backend(BACKEND).compile(source, board, Path(scratch))
            graph = _FlatGraph(converted.files[0])
            kept = graph.holders(kernels)
            chain = find_chain(graph.nodes(kept), where=artifact.path)
            ranges = _collect(converted, artifact.spec.inputs, samples, spec.ranges)
            with quiet():
                recipe = _recipe(graph, chain.with_float_heads)
                job = quantizer.Quantizer(str(converted.files[0]), recipe)
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


class _FlatGraph:
    """The main subgraph of a TFLite file: its ops under the names that the quantiser matches."""

    def __init__(self, path: Path) -> None:
        from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

        with quiet():
            self._model = flatbuffer.read_model(str(path))
        self._graph = self._model.subgraphs[0]
        self.types: dict[str, Any] = {}
        self._ops: dict[str, Any] = {}
        for op in self._graph.operators:
            code = self._model.operatorCodes[op.opcodeIndex].builtinCode
            name = flatbuffer.get_op_scope(op, self._graph.tensors)
            self.types[name] = flatbuffer.TFL_OP_CODE_TO_NAME.get(code)
            self._ops[name] = op

    def nodes(self, keep_float: set[str]) -> list[Node]:
        """The ops as nodes of a chain; those in `keep_float` count as float."""
        made = []
        for name, op in self._ops.items():
            kind, macs = self._kind(name), 0
            if name in keep_float:
                kind = "float"
            if kind == "convolution":
                macs = prod(self._shape(op.outputs[0])) * prod(self._shape(op.inputs[1])[1:])
                if self._type(name) == "DEPTHWISE_CONV_2D":
                    macs //= self._shape(op.inputs[1])[-1]
            made.append(Node(name, kind, _indices(op.inputs), _indices(op.outputs), macs))
        return made

    def holders(self, kernels: Sequence[tuple[str, Array]]) -> set[str]:
        """The convolutions that hold `kernels`, each a name and an ONNX kernel [O, I/g, H, W]."""
        held = {
            name: self._weights(op)
            for name, op in self._ops.items()
            if self._kind(name) == "convolution"
        }
        found = set()
        for node, kernel in kernels:
            forms = (kernel.transpose(0, 2, 3, 1), kernel.transpose(1, 2, 3, 0))
            match = [name for name, w in held.items() if any(_equal(w, form) for form in forms)]
            if not match:
                raise BadInput(
                    f"`keep_float` names {node!r}, whose weights were changed by the conversion "
                    "to TFLite.",
                    hint="Leave it out for this backend.",
                )
            found.update(match)
        return found

    def _type(self, name: str) -> str:
        return self.types[name].name if self.types[name] is not None else ""

    def _kind(self, name: str) -> Literal["convolution", "glue", "float"]:
        if self._type(name) in _CONVOLUTIONS and self._weights(self._ops[name]) is not None:
            return "convolution"
        return "glue" if self._type(name) in GLUE else "float"

    def _shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self._graph.tensors[index].shape)

    def _weights(self, op: Any) -> Array | None:
        tensor = self._graph.tensors[op.inputs[1]]
        data = self._model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            return None
        return np.frombuffer(bytes(data), "<f4").reshape(self._shape(op.inputs[1]))


def _indices(tensors: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(index) for index in tensors if index >= 0)


def _equal(one: Array | None, other: Array) -> bool:
    return one is not None and one.shape == other.shape and np.array_equal(one, other)


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


def _recipe(graph: _FlatGraph, names: Sequence[str]) -> Any:
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
    converted: CompiledGraph, inputs: Sequence[TensorSpec], samples: Samples, ranges: str
) -> Ranges:
    """The range of every tensor over all samples, in the form that the quantiser reads.

    Runs the float graph sample by sample and keeps two numbers a tensor. With `percentile` they
    are the outermost of each sample's quantiles.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(
            model_path=str(converted.files[0]),
            num_threads=1,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    positions = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    found: Ranges = {}
    for sample in samples:
        for spec, target in zip(inputs, converted.spec.inputs, strict=True):
            index = positions[converted.bindings[spec.name]]
            interpreter.set_tensor(index, in_layout(sample[spec.name], spec, target))
        interpreter.invoke()
        for name, values in _activations(interpreter):
            low, high = _extent(values, ranges)
            if name in found:
                low = np.minimum(low, found[name]["min"])
                high = np.maximum(high, found[name]["max"])
            found[name] = {"min": low, "max": high}
    return found


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


def _extent(values: Array, ranges: str) -> tuple[Array, Array]:
    """Lowest and highest value to represent, each of the rank of `values` with one element."""
    if ranges == "percentile":
        low, high = np.quantile(values, (OUTLIERS, 1 - OUTLIERS))
    else:
        low, high = values.min(), values.max()
    shape = (1,) * values.ndim
    return (
        np.full(shape, low, np.float32),
        np.full(shape, high, np.float32),
    )
