"""What an ONNX model says of itself: its ends, its nodes, what it stores, and their shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.graph.nested import all_nodes, nested_inputs

FLOAT, UINT8, FLOAT16, DOUBLE, BFLOAT16 = 1, 2, 10, 11, 16
"""`onnx.TensorProto.FLOAT` and so on."""

STANDARD = ("", "ai.onnx")
"""The domains of ONNX's own ops."""

RUNTIME_DOMAINS = ("com.microsoft",)
"""Extensions that ONNX Runtime brings; no other backend is promised to run them."""

REMAINING = "ONNX Runtime and OpenVINO can still run this model; TFLite and pruning cannot."
"""What is possible with a graph that PyTorch cannot take."""

FLOAT_WANTED = (
    "Give the float32 graph that it was made of. `edgeanim bench` measures this one as it is."
)
"""What is possible with a graph that is quantised already."""

_QUANTIZED = (
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
)


def opset_of(model: Any) -> int:
    """The version of ONNX's own ops that a `ModelProto` counts on."""
    version: int = next(e.version for e in model.opset_import if e.domain in STANDARD)
    return version


def graph_inputs(model: Any) -> list[Any]:
    """The inputs that a caller feeds: old files list their weights among the inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def makers_of(model: Any) -> dict[str, Any]:
    """The node that makes each value, by the value's name."""
    return {name: node for node in model.graph.node for name in node.output if name}


def readers_of(model: Any) -> dict[str, list[Any]]:
    """The nodes that read each value, itself or in a nested graph, by the value's name: each once,
    in their order; values that nobody reads are left out."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(filter(None, nested_inputs(node))):
            readers.setdefault(name, []).append(node)
    return readers


def unread_inputs(model: Any) -> list[str]:
    """The names of the inputs that no node reads and that are no output, if others are read."""
    read = {value.name for value in model.graph.output}
    for node in all_nodes(model.graph):
        read.update(node.input)
    names = [value.name for value in graph_inputs(model)]
    unread = [name for name in names if name not in read]
    return unread if len(unread) < len(names) else []


def quantized_already(model: Any) -> str | None:
    """A sentence that names the first node which computes in 8 bits, or rounds to them, already;
    `None` if there is none."""
    node = next((node for node in all_nodes(model.graph) if node.op_type in _QUANTIZED), None)
    if node is None:
        return None
    return f"This graph is quantised already: {node.op_type} {node_label(node)}."


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The fixed shape of a `ValueInfoProto`; `None` if it is unknown or not fixed."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    return shape if all(size > 0 for size in shape) else None


def value_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all values whose every axis is known, stored ones included."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    graph = model.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def whole_values(model: Any) -> frozenset[str]:
    """The names of all values known to be whole numbers, stored ones included."""
    return _values_of(model, np.integer)


def float_values(model: Any) -> frozenset[str]:
    """The names of all values known to be floats, stored ones included."""
    return _values_of(model, np.floating)


def _values_of(model: Any, kind: Any) -> frozenset[str]:
    import onnx

    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    types |= {value.name: value.type.tensor_type.elem_type for value in values}
    return frozenset(
        name
        for name, told in types.items()
        if told and np.issubdtype(onnx.helper.tensor_dtype_to_np_dtype(told), kind)
    )


def is_per_channel(value: NDArray[Any]) -> bool:
    """Whether a constant is one trained number per channel: [C, 1, 1] or [1, C, 1, 1], float."""
    channel_axis = value.ndim - 3
    return (
        value.dtype == np.float32
        and channel_axis >= 0
        and value.size > 1
        and value.size == value.shape[channel_axis]
    )


def along_axis(constant: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any] | None:
    """What a constant that is broadcast to `shape` has along an axis, [shape[axis]]; `None` if it
    changes along another one."""
    if constant.ndim > len(shape):
        return None
    full = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    if full.size != full.shape[axis] or full.size not in (1, shape[axis]):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[axis],))


def node_label(node: Any) -> str:
    """How an error names a node: by its own name, or by what it makes."""
    return repr(node.name or (node.output[0] if node.output else "?"))


def stored_tensors(model: Any) -> Iterator[Any]:
    """All stored tensors: weights and constants, of nested graphs and functions too."""
    for holder in (model.graph, *model.functions):
        yield from getattr(holder, "initializer", ())
        for node in all_nodes(holder):
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors, *attribute.g.initializer)
