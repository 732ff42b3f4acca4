"""A mean whose pads count, with a last window that begins in the picture and ends behind its pads.

What is behind the pads does not count. ONNX Runtime's INT8 (1.32) divides by the whole window all
the same, and OpenVINO (2026.4) does if there are pads. So these become pixels, and nothing else is
left that could count: `nn.AvgPool2d(3, 2, 1, ceil_mode=True)` is such a pool.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each, set_attributes
from edgeanim.graph.rewrites import constants


def rewrite(model: Any) -> int:
    """Returns the number of pools restated; they keep their names."""
    if not any(_counts(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)  # for shapes behind pads that a file computes
    return rewrite_each(model, _restate)


def _counts(node: Any) -> bool:
    given = attributes(node)
    counted = given.get("ceil_mode", 0) and given.get("count_include_pad", 0)
    return bool(node.op_type == "AveragePool" and counted)


def _restate(graph: Editor, node: Any) -> bool:
    if not _counts(node) or not _ends_behind_its_pads(graph, node):
        return False
    pads = attributes(node).get("pads", [])
    if any(pads):
        half = len(pads) // 2
        sides = np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64)
        near = node.output[0]
        inputs = [node.input[0], graph.constant(sides, near=near)]
        node.input[0] = graph.add("Pad", inputs, near=near)
    set_attributes(node, count_include_pad=None, pads=None)
    graph.reindex(node)
    return True


def _ends_behind_its_pads(graph: Editor, node: Any) -> bool:
    given, shape = attributes(node), graph.shapes.get(node.input[0])
    if given.get("auto_pad", "NOTSET") != "NOTSET" or shape is None:
        return False
    kernel = given["kernel_shape"]
    rank = len(kernel)
    strides, dilations = (given.get(name, [1] * rank) for name in ("strides", "dilations"))
    pads = given.get("pads", [0] * (2 * rank))
    sides = zip(shape[2:], pads[:rank], pads[rank:], strict=True)
    windows = (dilation * (taps - 1) + 1 for taps, dilation in zip(kernel, dilations, strict=True))
    return any(
        (sum(side) - window) % stride
        for side, window, stride in zip(sides, windows, strides, strict=True)
    )
