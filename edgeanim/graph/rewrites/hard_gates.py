"""A hard sigmoid between 8-bit values is looked up in a table.

ONNX Runtime has no 8-bit HardSigmoid, so that the whole map is converted to float and back around
one. But max(0, min(1, a x + b)) is what rounding does by itself: x rounded to steps of 1/(255 a)
about a zero point of 255 b, with 0 and 255 as limits, is the result rounded to steps of 1/255. A
LeakyRelu with a slope of 1 stands for the rounding, since the runtime looks that up in a table. The
result is off by half a step where 255 b is no whole number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each

_LEVELS = 255


def rewrite(model: Any) -> int:
    """Returns the number of hard sigmoids that were replaced: those from a DequantizeLinear to
    QuantizeLinears of unsigned 8 bits that span 0..1."""
    return rewrite_each(model, _look_up)


def _look_up(graph: Editor, node: Any) -> bool:
    if node.op_type != "HardSigmoid" or graph.maker(node.input[0], "DequantizeLinear") is None:
        return False
    made = node.output[0]
    readers = graph.users(made)
    if made in graph.outputs or not all(_spans_one(graph, reader) for reader in readers):
        return False
    stated = attributes(node)
    slope, offset = stated.get("alpha", 0.2), stated.get("beta", 0.5)
    if slope <= 0 or not 0 <= offset <= 1:
        return False
    scale = graph.constant(np.array(1 / (_LEVELS * slope), np.float32), near=made)
    zero = graph.constant(np.array(round(_LEVELS * offset), np.uint8), near=made)
    for reader in readers:
        reader.input[1:] = [scale, zero]
    graph.reindex(*readers)
    graph.replace(node, graph.add("LeakyRelu", [node.input[0]], near=made, alpha=1.0))
    return True


def _spans_one(graph: Editor, node: Any) -> bool:
    """Whether a node rounds to 0, 1/255, ... 1 in unsigned 8 bits."""
    if node.op_type != "QuantizeLinear":
        return False
    scale, zero = graph.scalar_of(node, 1), graph.constant_of(node, 2)
    return (
        scale is not None
        and bool(np.isclose(scale, 1 / _LEVELS))
        and zero is not None
        and zero.dtype == np.uint8
        and not zero.any()
    )
