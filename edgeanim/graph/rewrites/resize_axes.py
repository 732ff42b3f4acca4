"""A resize of some axes says of the others, too, how large they become: as they are; and one that
keeps the aspect ratio says how large all become.

Since opset 18 a Resize may name its axes. Where ONNX Runtime (1.32) moves a transpose past it, as
it does for INT8, it overlooks them, and asks for numbers that are not there; OpenVINO refuses those
that count from the end, and overlooks that the ratio is to be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each, set_attributes
from edgeanim.graph.rewrites import constants

_REGION, _SCALES, _SIZES = 1, 2, 3
_KEPT = {"not_larger": np.min, "not_smaller": np.max}


def rewrite(model: Any) -> int:
    """Returns the number of resizes restated: those by constant factors or to constant sizes, but
    for crops, which the named axes alone decide, and where a ratio gives no whole sizes."""
    if not any(_is_recent(node) for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _restate)


def _is_recent(node: Any) -> bool:
    if node.op_type != "Resize":
        return False
    return "axes" in attributes(node) or _ratio_kept(node) is not None


def _ratio_kept(node: Any) -> Callable[[AnyArray], Any] | None:
    """Which of the factors to the given sizes counts for all; `None` if each has its own."""
    return _KEPT.get(attributes(node).get("keep_aspect_ratio_policy", "stretch"))


def _restate(graph: Editor, node: Any) -> bool:
    if not _is_recent(node):
        return False
    given, shape = attributes(node), graph.shapes.get(node.input[0])
    if shape is None or given.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return False
    index = _SIZES if graph.has_input(node, _SIZES) else _SCALES
    named, axes = graph.constant_of(node, index), list(given.get("axes", range(len(shape))))
    if named is None:
        return False
    if index == _SIZES and (which := _ratio_kept(node)) is not None:
        before = np.array(shape)[axes]
        exact = which(named / before) * before
        named = np.round(exact)
        if not np.allclose(named, exact, atol=1e-6):
            return False  # pixels would lie elsewhere than by the factor
    whole = np.array(shape, np.int64) if index == _SIZES else np.ones(len(shape), np.float32)
    whole[axes] = named  # negative axes count from the end
    graph.set_constant(node, index, whole)
    node.input[_REGION] = ""  # one is of no use but to a crop
    set_attributes(node, axes=None, keep_aspect_ratio_policy=None)
    graph.reindex(node)
    return True
