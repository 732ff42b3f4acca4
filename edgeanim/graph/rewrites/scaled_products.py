"""What scales a product of two computed matrices, as in attention, scales its first factor instead.

ONNX Runtime carries a DequantizeLinear down through whatever only moves values. Where both factors
of a MatMul come from 8-bit convolutions, it then multiplies integers, which for the short rows of
attention's heads takes longer than float, rounds what decides on a softmax, and leaves the scale to
an op of its own. With the scale between the two it computes all of it in one float op.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each

_SCALES = ("Div", "Mul")


def rewrite(model: Any) -> int:
    """Returns the number of products that are scaled beforehand now."""
    return rewrite_each(model, _scale_before)


def _scale_before(graph: Editor, node: Any) -> bool:
    if node.op_type != "MatMul" or any(name in graph.constants for name in node.input):
        return False
    user = graph.only_user(node.output[0])
    if user is None or user.op_type not in _SCALES:
        return False
    place = list(user.input).index(node.output[0])
    factor = graph.scalar_of(user, 1 - place)
    if factor is None or (user.op_type == "Div" and place == 1):
        return False
    if graph.shapes.get(user.output[0]) != graph.shapes.get(node.output[0]):
        return False  # the factor has more axes than what it scales
    factor = 1 / factor if user.op_type == "Div" else factor
    near = node.output[0]
    constant = graph.constant(np.array(factor, np.float32), near=near)
    node.input[0] = graph.add("Mul", [node.input[0], constant], near=near)
    graph.reindex(node)
    graph.replace(user, node.output[0])
    return True
