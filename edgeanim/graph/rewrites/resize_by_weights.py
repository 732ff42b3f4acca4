"""A resize becomes a product with the weights of each axis: cubic ones, which are slow otherwise,
and those that OpenVINO takes for others.

Cubic, ONNX Runtime (1.32) takes 75 ns for a pixel, OpenVINO 20 and TFLite 40, for 4 x 4 products
each; two products of matrices take 1 to 10, and are the same numbers. OpenVINO (2026.4) takes a
Resize that smooths what it makes smaller (antialias), or that weighs the border anew
(exclude_outside), for one that does not; and refuses half_pixel_symmetric coordinates. Along an
axis every resize but a crop is a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeanim.graph.edit import Editor, attributes, rewrite_each
from edgeanim.graph.rewrites import constants
from edgeanim.graph.upsampling import axis_weights, resize_scales

_ROWS, _COLUMNS = 2, 3
"""The axes of a map's height and width."""


def rewrite(model: Any) -> int:
    """Returns the number of resizes replaced, cubic ones and those that OpenVINO overlooks: of
    height and width, by constant factors or to constant sizes; the results keep their names."""
    return _rewrite(model, lambda node: _is_overlooked(node) or is_cubic(node))


def rewrite_cubic(model: Any) -> int:
    """The same for cubic ones alone."""
    return _rewrite(model, is_cubic)


def _rewrite(model: Any, is_meant: Callable[[Any], bool]) -> int:
    if not any(map(is_meant, model.graph.node)):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, lambda graph, node: is_meant(node) and _replace(graph, node))


def is_cubic(node: Any) -> bool:
    """Whether a node resizes by cubic weights."""
    return node.op_type == "Resize" and attributes(node).get("mode") == "cubic"


def _is_overlooked(node: Any) -> bool:
    if node.op_type != "Resize":
        return False
    given = attributes(node)
    symmetric = given.get("coordinate_transformation_mode") == "half_pixel_symmetric"
    return bool(given.get("antialias", 0) or symmetric)


def _replace(graph: Editor, node: Any) -> bool:
    given = attributes(node)
    crops = given.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if "axes" in given or crops:
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
