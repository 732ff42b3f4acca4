"""The shapes of what lies between a graph's ends, as far as ONNX can tell them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edgeanim.core.errors import BadInput, first_line
from edgeanim.graph.queries import shape_of

_KEEPS_SHAPE = ("GroupNormalization", "MeanVarianceNormalization")
"""Ops whose shape ONNX (1.23) does not tell: that of what they read."""


def infer_shapes(model: Any) -> None:
    """Fill in the shapes of intermediate values, anew, and those that outputs leave open, as far as
    ONNX can tell them."""
    del model.graph.value_info[:]
    found = with_shapes(model).graph
    model.graph.value_info.extend(found.value_info)
    for output, known in zip(model.graph.output, found.output, strict=True):
        if shape_of(output) is None:  # a node that reads it may have to know
            output.type.CopyFrom(known.type)


def with_shapes(model: Any) -> Any:
    """A copy of a `ModelProto` with the shapes that ONNX can tell beside those that are written
    down; `BadInput` if they contradict each other."""
    import onnx

    given = _with_stand_ins(model)
    try:
        made = onnx.shape_inference.infer_shapes(given, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise BadInput(
            f"The shapes or types of this graph contradict each other: {first_line(error)}",
            where=model.graph.name or None,
            hint="Export it again.",
        ) from error
    if given is not model:
        del made.graph.node[:]
        made.graph.node.extend(model.graph.node)
    return made


def _with_stand_ins(model: Any) -> Any:
    """A `ModelProto` itself, or a copy with another op of the same shape in place of those whose
    shape ONNX (1.23) cannot tell."""
    if all(node.op_type not in _KEEPS_SHAPE for node in model.graph.node):
        return model
    copy = deepcopy(model)
    for node in copy.graph.node:
        if node.op_type in _KEEPS_SHAPE:
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    return copy
