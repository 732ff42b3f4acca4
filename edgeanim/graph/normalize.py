"""Anyone's ONNX in the one form that the rest of this part expects.

Constants folded, layouts channels-first but at the ends, linear layers over pixels as convolutions,
pads and norms as single ops, kernels stored that only a style scales, one filter for all channels
as a depthwise one, recent opset. Inputs, outputs and numbers stay as they were.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edgeanim.core.errors import BadInput, first_line
from edgeanim.graph.edit import attributes, set_attributes
from edgeanim.graph.known_values import KnownValues
from edgeanim.graph.nested import all_nodes
from edgeanim.graph.queries import opset_of
from edgeanim.graph.rewrites import (
    affine,
    constants,
    depthwise,
    identity,
    instance_norm,
    layer_norm,
    layout,
    matrix_products,
    modulated,
    own_statistics,
    pad_axes,
    pads,
    pointwise,
    pools,
    resize_axes,
    variance,
)
from edgeanim.graph.shapes import infer_shapes

OLDEST_OPSET = 13
_RAISED_OPSET = 18
_CHOSEN_COORDINATES = 11
"""Since this opset a Resize says which coordinates it reckons with."""
_REWRITES = (
    pools,
    constants,
    pad_axes,
    resize_axes,
    identity,
    matrix_products,
    pointwise,
    layout,
    variance,
    own_statistics,
    instance_norm,
    layer_norm,
    pads,
    affine,
    modulated,
    depthwise,
    identity,
)


def normalize(model: Any) -> Any:
    """A normalised copy of a `ModelProto`; `BadInput` if its opset cannot be raised."""
    copy = with_recent_opset(deepcopy(model))
    infer_shapes(copy)
    for module in _REWRITES:
        module.rewrite(copy)
    return copy


def with_recent_opset(model: Any) -> Any:
    """A `ModelProto` itself, or raised to an opset that has per-channel quantisation. `BadInput` if
    it cannot be raised."""
    import onnx.version_converter

    version = opset_of(model)
    if version >= OLDEST_OPSET:
        return model
    try:
        raised = onnx.version_converter.convert_version(model, _RAISED_OPSET)
    except Exception as error:
        raise BadInput(
            f"This graph has ONNX opset {version}, which cannot be raised to {_RAISED_OPSET}: "
            f"{first_line(error)}",
            where=model.graph.name or None,
            hint=f"Export it again with opset {OLDEST_OPSET} or later.",
        ) from error
    if version < _CHOSEN_COORDINATES:
        _resize_as_before(raised)
    else:
        _resize_by_half_pixels(raised)
    return raised


def _resize_as_before(model: Any) -> None:
    """Let every Resize count from the corner, as all did before there was a choice: the version
    converter leaves them to the new default. Of the two nearest pixels ONNX Runtime took the one
    before where a picture grows, and the one behind where it shrinks."""
    values = KnownValues(model)
    for node in all_nodes(model.graph):
        if node.op_type == "Resize":
            scales = values.array(node.input[2]) if len(node.input) > 2 else None
            shrinks = scales is not None and scales.size > 0 and scales.max() <= 1
            set_attributes(
                node,
                coordinate_transformation_mode="asymmetric",
                nearest_mode="ceil" if shrinks else "floor",
            )


def _resize_by_half_pixels(model: Any) -> None:
    """Name what TensorFlow takes for the nearest pixel as it is named since opset 13, which has no
    coordinates of TensorFlow's own: of a pixel's centre the floor, or half a pixel before it the
    next whole number, with the later one where two are as near."""
    theirs = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    for node in all_nodes(model.graph):
        if node.op_type == "Resize" and theirs.items() <= attributes(node).items():
            set_attributes(
                node,
                coordinate_transformation_mode="half_pixel",
                nearest_mode="round_prefer_ceil",
            )
