"""A pad of some axes says of the others, too, how much it adds: nothing.

Since opset 18 a Pad may name its axes. Where ONNX Runtime (1.32) moves a transpose past the pad it
overlooks them, and asks for numbers that are not there; and rewrites know pads of all axes only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each
from edgeanim.graph.rewrites import constants

_AXES = 3


def rewrite(model: Any) -> int:
    """Returns the number of pads restated: those by constant numbers along constant axes."""
    if not any(_names_axes(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _restate)


def _names_axes(node: Any) -> bool:
    return node.op_type == "Pad" and any(node.input[_AXES:])


def _restate(graph: Editor, node: Any) -> bool:
    if not _names_axes(node):
        return False
    pads, axes = graph.constant_of(node, 1), graph.constant_of(node, _AXES)
    shape = graph.shapes.get(node.input[0])
    if pads is None or axes is None or shape is None:
        return False
    whole = np.zeros((2, len(shape)), np.int64)
    whole[:, axes] = pads.reshape(2, -1)  # begins and ends; negative axes count from the end
    graph.set_constant(node, 1, whole.reshape(-1))
    del node.input[_AXES:]
    graph.reindex(node)
    return True
