"""A layer norm that was written out becomes one LayerNormalization.

ONNX Runtime joins the parts by itself, but not in INT8: it gives every op that reads an 8-bit value
a conversion of its own, and then no longer sees that they read the same. A norm over the channels
of a map, which it never joins, is one over the last axis of that map laid out for it, as 8-bit
convolutions leave it. Ba et al. 2016, "Layer Normalization".

The op exists since opset 17. A graph of an older one is raised, if it can be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, rewrite_each
from edgeanim.graph.queries import along_axis, opset_of
from edgeanim.graph.rewrites.layout import TO_FIRST, TO_LAST
from edgeanim.graph.rewrites.norm_parts import NormParts

_SINCE = 17


def rewrite(model: Any) -> int:
    """Returns the number of norms recognised."""
    if opset_of(model) < _SINCE and not (_has_norm(model) and _raise(model)):
        return 0
    return rewrite_each(model, _match)


def _has_norm(model: Any) -> bool:
    graph = Editor(model)
    return any(_found(graph, node) for node in graph.nodes)


def _raise(model: Any) -> bool:
    """Raise the opset; `False` if it cannot be."""
    import onnx.version_converter

    try:
        model.CopyFrom(onnx.version_converter.convert_version(model, _SINCE))
    except Exception:  # its own kinds of error, for ops that it does not know how to raise
        return False
    return True


def _match(graph: Editor, node: Any) -> bool:
    found = _found(graph, node)
    if found is not None:
        _join(graph, node, *found)
    return found is not None


def _found(graph: Editor, node: Any) -> tuple[str, float, int] | None:
    """x, eps and the axis, if `node` is the last op of a norm."""
    for axis, axes_of in ((-1, _last), (1, _channels)):
        if found := NormParts(graph, axes_of).normed(node):
            return (*found, axis)
    return None


def _last(rank: int) -> list[int] | None:
    return [rank - 1] if rank > 1 else None


def _channels(rank: int) -> list[int] | None:
    return [1] if rank == 4 else None


def _join(graph: Editor, node: Any, x: str, eps: float, axis: int) -> None:
    """One op for the norm `node` of `x`, and for a scale and a shift of each channel behind it."""
    shape, last = graph.shapes[x], node
    held: list[AnyArray] = []
    for op in ("Mul", "Add"):
        user = graph.only_user(last.output[0])
        numbers = _of_each(graph, user, last.output[0], shape, axis) if user is not None else None
        if user is not None and user.op_type == op and numbers is not None:
            held.append(numbers)
            last = user
        elif op == "Mul":
            held.append(np.ones(shape[axis], np.float32))
    near = last.output[0]
    inputs = [graph.constant(numbers, near=near) for numbers in held]
    if axis == 1:
        x = graph.add("Transpose", [x], near=near, perm=TO_LAST)
    made = graph.add("LayerNormalization", [x, *inputs], near=near, axis=-1, epsilon=eps)
    if axis == 1:
        made = graph.add("Transpose", [made], near=near, perm=TO_FIRST)
    graph.replace(last, made)


def _of_each(
    graph: Editor, user: Any, name: str, shape: tuple[int, ...], axis: int
) -> AnyArray | None:
    """The constant that `user` combines `name` with, float32 [C], if it is one number for each
    channel."""
    if len(user.input) != 2:
        return None
    value = graph.constant_of(user, 1 - list(user.input).index(name))
    if value is None or value.dtype != np.float32:
        return None
    found = along_axis(value, shape, axis)
    return None if found is None else found.copy()
