"""A resize of some axes says of the others, too, how large they become: as they are.

Since opset 18 a Resize may name its axes. Where ONNX Runtime (1.32) moves a transpose past it, as
it does for INT8, it overlooks them, and asks for numbers that are not there; OpenVINO refuses those
that count from the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each, set_attributes
from edgeanim.graph.rewrites import constants

_REGION, _SCALES, _SIZES = 1, 2, 3


def rewrite(model: Any) -> int:
    """Returns the number of resizes restated: those by constant factors or to constant sizes, but
    for crops and where the aspect ratio is kept, which the named axes alone decide."""
    if not any(_names_axes(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _restate)


def _names_axes(node: Any) -> bool:
    return node.op_type == "Resize" and "axes" in attributes(node)


def _restate(graph: Editor, node: Any) -> bool:
    if not _names_axes(node):
        return False
    given, shape = attributes(node), graph.shapes.get(node.input[0])
    crops = given.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    keeps_ratio = given.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    if shape is None or crops or keeps_ratio:
        return False
    index = _SIZES if graph.has_input(node, _SIZES) else _SCALES
    named = graph.constant_of(node, index)
    if named is None:
        return False
    whole = np.array(shape, np.int64) if index == _SIZES else np.ones(len(shape), np.float32)
    whole[list(given["axes"])] = named  # negative axes count from the end
    graph.set_constant(node, index, whole)
    node.input[_REGION] = ""  # one is of no use but to a crop
    set_attributes(node, axes=None)
    graph.reindex(node)
    return True
