"""Sums of absolute values, of exponentials and their logarithms are written in parts.

OpenVINO (2026.4) overlooks the axes of ReduceL1, ReduceLogSum and ReduceLogSumExp where they are an
attribute, as before opset 18, and reduces all there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each

_AXES_AS_INPUT = 13
"""Since this opset ReduceSum and Squeeze are given their axes as an input."""


def rewrite(model: Any) -> int:
    """Returns the number of reductions replaced; the results keep their names."""
    return rewrite_each(model, _replace)


def _replace(graph: Editor, node: Any) -> bool:
    parts = {"ReduceL1": _l1, "ReduceLogSum": _log_sum, "ReduceLogSumExp": _log_sum_exp}
    given = attributes(node)
    if node.op_type not in parts or "axes" not in given:
        return False
    made = parts[node.op_type](graph, node, given["axes"], given.get("keepdims", 1))
    graph.replace(node, made, renamed=True)
    return True


def _l1(graph: Editor, node: Any, axes: list[int], keepdims: int) -> str:
    size = graph.add("Abs", node.input, near=node.output[0])
    return _by_axes(graph, "ReduceSum", size, axes, near=node.output[0], keepdims=keepdims)


def _log_sum(graph: Editor, node: Any, axes: list[int], keepdims: int) -> str:
    near = node.output[0]
    total = _by_axes(graph, "ReduceSum", node.input[0], axes, near=near, keepdims=keepdims)
    return graph.add("Log", [total], near=near)


def _log_sum_exp(graph: Editor, node: Any, axes: list[int], keepdims: int) -> str:
    """log sum exp(x - max x) + max x, which cannot overflow."""
    x, near = node.input[0], node.output[0]
    top = graph.add("ReduceMax", [x], near=near, axes=axes, keepdims=1)
    powers = graph.add("Exp", [graph.add("Sub", [x, top], near=near)], near=near)
    total = _by_axes(graph, "ReduceSum", powers, axes, near=near, keepdims=keepdims)
    if not keepdims:
        top = _by_axes(graph, "Squeeze", top, axes, near=near)
    return graph.add("Add", [graph.add("Log", [total], near=near), top], near=near)


def _by_axes(graph: Editor, op: str, x: str, axes: list[int], *, near: str, **attrs: Any) -> str:
    if graph.opset < _AXES_AS_INPUT:
        return graph.add(op, [x], near=near, axes=axes, **attrs)
    return graph.add(op, [x, graph.constant(np.array(axes), near=near)], near=near, **attrs)
