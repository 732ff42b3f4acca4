"""Nearest upsampling of a quantised convolution's result copies whole pixels.

ONNX Runtime computes 8-bit convolutions with the channels innermost and carries that layout on
through a Resize, for which it has no fast form then: it looks up each value for itself, which takes
as long as a convolution. An Expand of such pixels copies all channels of each at once. The
transposes around it are those that the runtime would put there, and it takes them out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each
from edgeanim.graph.upsampling import nearest_factor

_PASSING = ("DequantizeLinear", "QuantizeLinear", "Relu", "Clip")
"""What may stand between the convolution and the Resize: the runtime fuses it, or takes it out."""


def rewrite(model: Any) -> int:
    """Returns the number of upsamplings of quantised convolutions that copy pixels now."""
    return rewrite_each(model, _repeat)


def _repeat(graph: Editor, node: Any) -> bool:
    factor = nearest_factor(graph, node) if node.op_type == "Resize" else None
    if factor is None or not _of_a_quantised_convolution(graph, node.input[0]):
        return False
    count, channels, height, width = graph.shapes[node.input[0]]
    near = node.output[0]
    x = graph.add("Transpose", [node.input[0]], near=near, perm=[0, 2, 3, 1])
    x = graph.reshaped(x, (count, height, 1, width, 1, channels), near=near)
    copies = np.array((count, height, factor, width, factor, channels), np.int64)
    x = graph.add("Expand", [x, graph.constant(copies, near=near)], near=near)
    x = graph.reshaped(x, (count, height * factor, width * factor, channels), near=near)
    x = graph.add("Transpose", [x], near=near, perm=[0, 3, 1, 2])
    graph.replace(node, x)
    return True


def _of_a_quantised_convolution(graph: Editor, name: str) -> bool:
    if graph.maker(name, "DequantizeLinear") is None:
        return False
    maker = graph.maker_behind(name, _PASSING)
    return (
        maker is not None
        and maker.op_type == "Conv"
        and all(graph.maker(x, "DequantizeLinear") is not None for x in maker.input[:2])
    )
