"""A pad that wraps around becomes slices of the opposite border: OpenVINO has no such pad."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each
from edgeanim.graph.rewrites import constants


def rewrite(model: Any) -> int:
    """Returns the number of pads replaced. Those by constant numbers are, up to a whole picture on
    each side; the results keep their names."""
    if not any(_wraps(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _replace)


def _wraps(node: Any) -> bool:
    return node.op_type == "Pad" and attributes(node).get("mode") == "wrap"


def _replace(graph: Editor, node: Any) -> bool:
    pads, shape = graph.constant_of(node, 1), graph.shapes.get(node.input[0])
    if not _wraps(node) or pads is None or shape is None or len(node.input) > 3:
        return False
    begins, ends = np.split(pads, 2)
    if len(begins) != len(shape) or pads.min() < 0 or (np.maximum(begins, ends) > shape).any():
        return False
    x, near = node.input[0], node.output[0]

    def border(axis: int, start: int, stop: int) -> str:
        limits = [graph.constant(np.array([n], np.int64), near=near) for n in (start, stop, axis)]
        return graph.add("Slice", [x, *limits], near=near)

    for axis, (begin, end, size) in enumerate(zip(begins, ends, shape, strict=True)):
        before = [border(axis, size - begin, size)] if begin else []
        after = [border(axis, 0, end)] if end else []
        if before or after:
            x = graph.add("Concat", [*before, x, *after], near=near, axis=axis)
    graph.replace(node, x, renamed=True)
    return True
