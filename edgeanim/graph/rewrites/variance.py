"""Variances in the form in which norms are recognised.

`torch.var` is exported as a mean that drops its axes, a factor n / (n - 1), and a reshape that
gives the axes back. They are kept instead, and the factor k is taken out of the root:

    x / sqrt(k v + eps) = x / sqrt(v + eps / k) / sqrt(k)
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of places changed."""
    return rewrite_each(model, _keep_axes) + rewrite_each(model, _take_out_factor)


def _keep_axes(graph: Editor, node: Any) -> bool:
    if node.op_type not in ("Reshape", "Unsqueeze"):
        return False
    name, factor = _scaled(graph, node.input[0])
    mean = graph.maker(name, "ReduceMean")
    if mean is None or attributes(mean).get("keepdims", 1):
        return False
    axes = graph.setting_of(mean, "axes", 1)
    shape = graph.shapes.get(mean.input[0])
    if axes is None or shape is None:
        return False
    over = {int(axis) % len(shape) for axis in axes}
    kept = tuple(1 if axis in over else size for axis, size in enumerate(shape))
    if graph.shapes.get(node.output[0]) != kept:
        return False
    near = node.output[0]
    made = graph.add("ReduceMean", mean.input, near=near, **{**attributes(mean), "keepdims": 1})
    if factor != 1:
        made = graph.add("Mul", [made, _number(graph, factor, near)], near=near)
    graph.replace(node, made)
    return True


def _take_out_factor(graph: Editor, node: Any) -> bool:
    """Of `x / sqrt(k v + eps)`, or of x times its reciprocal."""
    if node.op_type == "Div":
        return _without_factor(graph, node, node.input[0], node.input[1], "Div")
    if node.op_type != "Mul":
        return False
    for x, other in (node.input, reversed(list(node.input))):
        inverse = graph.maker(other, "Reciprocal")
        if inverse is not None and _without_factor(graph, node, x, inverse.input[0], "Mul"):
            return True
    return False


def _without_factor(graph: Editor, node: Any, x: str, deviation: str, op: str) -> bool:
    root = graph.maker(deviation, "Sqrt")
    total = None if root is None else graph.maker(root.input[0], "Add")
    if total is None:
        return False
    for index in (0, 1):
        eps = _scalar(graph, total, index)
        name, factor = _scaled(graph, total.input[1 - index])
        if eps is None or factor <= 0 or factor == 1 or graph.maker(name, "ReduceMean") is None:
            continue
        near = node.output[0]
        made = graph.add("Add", [name, _number(graph, eps / factor, near)], near=near)
        made = graph.add("Sqrt", [made], near=near)
        if op == "Mul":
            made = graph.add("Reciprocal", [made], near=near)
        made = graph.add(op, [x, made], near=near)
        graph.replace(
            node, graph.add("Mul", [made, _number(graph, 1 / sqrt(factor), near)], near=near)
        )
        return True
    return False


def _scaled(graph: Editor, name: str) -> tuple[str, float]:
    """What `name` is made of by multiplying and dividing by numbers, and all of these together."""
    factor = 1.0
    while (node := graph.maker(name, "Mul", "Div")) is not None:
        sides = (1,) if node.op_type == "Div" else (1, 0)
        found = next(((i, n) for i in sides if (n := _scalar(graph, node, i)) is not None), None)
        if found is None or found[1] == 0:
            break
        side, number = found
        factor *= 1 / number if node.op_type == "Div" else number
        name = node.input[1 - side]
    return name, factor


def _scalar(graph: Editor, node: Any, index: int) -> float | None:
    """A float32 number that a node is given, none of float64, for which runtimes have no norm."""
    value = graph.constant_of(node, index)
    return (
        float(value.item())
        if value is not None and value.dtype == np.float32 and value.size == 1
        else None
    )


def _number(graph: Editor, value: float, near: str) -> str:
    return graph.constant(np.array(value, np.float32), near=near)
