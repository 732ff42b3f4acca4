"""A resize in a way that OpenVINO overlooks becomes a product with the weights of each axis.

OpenVINO (2026.4) takes a Resize that smooths what it makes smaller (antialias), or that weighs the
border anew (exclude_outside), for one that does not; and refuses half_pixel_symmetric coordinates.
Along an axis every resize but a crop is a matrix, which is what it makes of an identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each
from edgeanim.graph.rewrites import constants
from edgeanim.graph.upsampling import resize_scales

_SCALES, _SIZES = 2, 3
_ROWS, _COLUMNS = 2, 3
"""The axes of a map's height and width."""


def rewrite(model: Any) -> int:
    """Returns the number of resizes replaced: of height and width, by constant factors or to
    constant sizes; the results keep their names."""
    if not any(_is_overlooked(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)
    count = rewrite_each(model, _replace)
    constants.rewrite(model)  # computes the weights, in ONNX Runtime
    return count


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
        x = graph.add("MatMul", [_weights(graph, node, _ROWS), x], near=near)
    if scales[_COLUMNS] != 1:
        weights = _weights(graph, node, _COLUMNS)
        x = graph.add("MatMul", [x, graph.add("Transpose", [weights], near=near)], near=near)
    graph.replace(node, x, renamed=True)
    return True


def _weights(graph: Editor, node: Any, axis: int) -> str:
    """What `node` makes of an identity along one axis, [after, before]."""
    near = node.output[0]
    before, after = (graph.shapes[name][axis] for name in (node.input[0], near))
    inputs = [graph.constant(np.eye(before, dtype=np.float32)[None, None], near=near), ""]
    if graph.has_input(node, _SIZES):
        sizes = np.array([1, 1, after, before], np.int64)
        inputs += ["", graph.constant(sizes, near=near)]
    else:
        scales = np.ones(4, np.float32)
        scales[_ROWS] = graph.constants[node.input[_SCALES]][axis]
        inputs.append(graph.constant(scales, near=near))
    resized = graph.add("Resize", inputs, near=near, **attributes(node))
    return graph.reshaped(resized, (after, before), near=near)
