"""Others' ONNX files that mean one static float32 graph, though they do not say so.

A batch of any size is played as one picture, half floats compute in float32, nodes that stand in
any order, as float16 converters leave them, are sorted, and inputs that nothing reads, which
runtimes drop or keep as they like, are left out. All else is `read_onnx`'s to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.graph.edit import editing, infer_shapes, nested_graphs, nested_inputs
from edgeanim.graph.protobuf import MAX_BYTES, parse_onnx
from edgeanim.graph.read import graph_inputs, load_onnx, unread_inputs

FLOAT, FLOAT16, BFLOAT16 = 1, 10, 16
"""`onnx.TensorProto.FLOAT` and so on."""
_HALF = (FLOAT16, BFLOAT16)
_TYPES = ("to", "dtype", "output_dtype", "stash_type", "softmax_precision")
"""Attributes that name a type."""


def adopt(path: Path) -> tuple[Any, tuple[str, ...]] | None:
    """The file as a `ModelProto` that is static and float32, weights inline, and a sentence for
    each thing that was changed; `None` if nothing has to be.

    `BadInput` if the file does not parse, or would exceed 2 GiB.
    """
    model = parse_onnx(path)
    halves, batch, sorted_ = _is_half(model), _batch(model), _is_sorted(model.graph)
    unread = unread_inputs(model)
    if sorted_ and not halves and not batch and not unread:
        return None
    model = load_onnx(path)
    changes = [f"The input {name!r} is left out, as nothing reads it." for name in unread]
    kept = [value for value in model.graph.input if value.name not in unread]
    model.graph.ClearField("input")
    model.graph.input.extend(kept)
    if batch:
        _fix_batch(model, batch)
        changes.append(f"The batch ({', '.join(sorted(batch))}) is fixed at 1.")
    if halves:
        _widen(model)
        changes.append("The file's half floats are computed in float32.")
    del model.graph.value_info[:]
    with editing(model):
        pass  # sorts the nodes, which finding the types needs
    _remove_void_casts(model)
    if model.ByteSize() > MAX_BYTES:
        raise BadInput("In float32 the weights of this model exceed 2 GiB.", where=path)
    return model, tuple(changes)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those nested in its nodes."""
    yield graph
    for node in graph.node:
        for nested in nested_graphs(node):
            if nested.node:  # an attribute that holds no graph gives an empty one
                yield from _graphs(nested)


def _is_half(model: Any) -> bool:
    ends = (*model.graph.input, *model.graph.output)
    return any(value.type.tensor_type.elem_type in _HALF for value in ends) or any(
        tensor.data_type in _HALF for graph in _graphs(model.graph) for tensor in graph.initializer
    )


def _batch(model: Any) -> set[str]:
    """What the inputs call their first axis, if that one is the only one which is not fixed."""
    names: set[str] = set()
    for value in graph_inputs(model):
        dims = value.type.tensor_type.shape.dim
        if any(dim.dim_value < 1 for dim in dims[1:]):
            return set()
        # A single axis is no stack of anything.
        if len(dims) > 1 and dims[0].dim_value < 1:
            names.add(dims[0].dim_param or "unnamed")
        elif dims and dims[0].dim_value < 1:
            return set()
    return names


def _is_sorted(graph: Any) -> bool:
    made = {output for node in graph.node for output in node.output}
    for node in graph.node:
        if made.intersection(nested_inputs(node)) - {name for name in node.output if name}:
            return False
        made.difference_update(node.output)
    return True


def _fix_batch(model: Any, names: set[str]) -> None:
    for value in graph_inputs(model):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value < 1:
            dims[0].dim_value = 1
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_value = 1


def _widen(model: Any) -> None:
    """Make every half float a float32: weights, ends, and what names a type."""
    for graph in _graphs(model.graph):
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in _HALF:
                value.type.tensor_type.elem_type = FLOAT
        for tensor in graph.initializer:
            _widen_tensor(tensor)
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            if attribute.name in _TYPES and attribute.i in _HALF:
                attribute.i = FLOAT
            for tensor in (attribute.t, *attribute.tensors):
                _widen_tensor(tensor)


def _widen_tensor(tensor: Any) -> None:
    import numpy as np
    import onnx

    if tensor.data_type in _HALF:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _remove_void_casts(model: Any) -> None:
    """Take out the casts of floats to floats, which would stand between convolutions."""
    infer_shapes(model)
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    with editing(model) as graph:
        for node in list(graph.nodes):
            if node.op_type == "Cast" and kinds.get(node.input[0]) == FLOAT:
                (to,) = (attribute.i for attribute in node.attribute if attribute.name == "to")
                if to == FLOAT:
                    graph.replace(node, node.input[0])
