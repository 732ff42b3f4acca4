"""A resize in a way that OpenVINO overlooks becomes a product with the weights of each axis.

OpenVINO (2026.4) takes a Resize that smooths what it makes smaller (antialias), or that weighs the
border anew (exclude_outside), for one that does not; and refuses half_pixel_symmetric coordinates.
Along an axis every resize but a crop is a matrix.
"""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each
from edgeanim.graph.rewrites import constants
from edgeanim.graph.upsampling import axis_weights, resize_scales

_ROWS, _COLUMNS = 2, 3
"""The axes of a map's height and width."""


def rewrite(model: Any) -> int:
    """Returns the number of resizes replaced: of height and width, by constant factors or to
    constant sizes; the results keep their names."""
    if not any(_is_overlooked(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _replace)


def _is_overlooked(node: Any) -> bool:
    if node.op_type != "Resize":
        return False
    given = attributes(node)
    anew = given.get("mode") == "cubic" and given.get("exclude_outside", 0)
    symmetric = given.get("coordinate_transformation_mode") == "half_pixel_symmetric"
    return bool(given.get("antialias", 0) or anew or symmetric)


def _replace(graph: Editor, node: Any) -> bool:
    if not _is_overlooked(node) or "axes" in attributes(node):
        return False
    scales = resize_scales(graph, node)
    if scales is None or len(scales) != 4 or scales[:_ROWS] != (1, 1):
        return False
    x, near = node.input[0], node.output[0]
    if scales[_ROWS] != 1:
        weights = graph.constant(axis_weights(graph, node, _ROWS), near=near)
        x = graph.add("MatMul", [weights, x], near=near)
    if scales[_COLUMNS] != 1:
        weights = graph.constant(axis_weights(graph, node, _COLUMNS).T, near=near)
        x = graph.add("MatMul", [x, weights], near=near)
    graph.replace(node, x, renamed=True)
    return True
