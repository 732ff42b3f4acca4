"""A Sum is an Add, or several; a Mean a share of them.

Add is what runtimes compute in 8 bits: ONNX Runtime has no such Sum, and of a Mean OpenVINO makes
sums without names, whose ranges nobody knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of Sums and Means of two values or more, which are Adds now."""
    return rewrite_each(model, _add_up)


def _add_up(graph: Editor, node: Any) -> bool:
    if node.op_type not in ("Sum", "Mean") or len(node.input) < 2:
        return False
    near = node.output[0]
    total, *others = node.input
    for value in others:
        total = graph.add("Add", [total, value], near=near)
    if node.op_type == "Mean":
        share = graph.constant(np.array(1 / len(node.input), np.float32), near=near)
        total = graph.add("Mul", [total, share], near=near)
    graph.nodes[-1].name = node.name
    graph.replace(node, total, renamed=True)
    return True
