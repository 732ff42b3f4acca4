"""Resizing in an ONNX graph: by how much, when it repeats pixels, and what it weighs them with."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes
from edgeanim.graph.reference import Reference

_SCALES, _SIZES = 2, 3


def nearest_factor(graph: Editor, resize: Any) -> int | None:
    """f if output i of both axes of a `Resize` is input i div f; `None` for any other resizing."""
    factors = nearest_factors(graph, resize)
    return factors[0] if factors is not None and factors[0] == factors[1] else None


def nearest_factors(graph: Editor, resize: Any) -> tuple[int, int] | None:
    """The same of rows and of columns, which may differ; not both are 1."""
    given = attributes(resize)
    if given.get("mode", "nearest") != "nearest":
        return None
    scales = resize_scales(graph, resize)
    if scales is None or len(scales) != 4 or scales[:2] != (1, 1):
        return None
    rows, columns = map(int, scales[2:])
    if min(rows, columns) < 1 or rows * columns == 1 or (rows, columns) != scales[2:]:
        return None
    factors = rows, columns
    coordinates = given.get("coordinate_transformation_mode", "half_pixel")
    rounding = given.get("nearest_mode", "round_prefer_floor")
    if coordinates == "asymmetric":
        return factors if rounding == "floor" else None
    # The centres of the small pixels never lie half way between those of the large ones.
    halves = coordinates in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
    return factors if halves and rounding.startswith("round") else None


def resize_scales(graph: Editor, resize: Any) -> tuple[float, ...] | None:
    """The factor of each axis that a `Resize` reckons with; `None` where that cannot be known.

    A factor that was given need not lead to a whole number of pixels: 6 pixels by 2.1 are 12, but
    others than by 2.
    """
    given = attributes(resize)
    before, after = (graph.shapes.get(name) for name in (resize.input[0], resize.output[0]))
    if before is None or after is None or 0 in before:
        return None
    if given.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    if graph.has_input(resize, _SCALES):
        scales = graph.constant_of(resize, _SCALES)
        if scales is None:
            return None
        if scales.size:
            factors = dict.fromkeys(range(len(before)), 1.0)
            axes = given.get("axes", range(len(before)))
            by_axis = zip(axes, scales.tolist(), strict=True)
            factors |= {axis % len(before): factor for axis, factor in by_axis}
            return tuple(factors.values())
    return tuple(new / old for old, new in zip(before, after, strict=True))


def axis_weights(graph: Editor, resize: Any, axis: int) -> AnyArray:
    """What a `Resize` by constant factors or to constant sizes makes of an identity along an axis,
    float32 [after, before]: every resize but a crop is a product with such for each axis."""
    before, after = (graph.shapes[name][axis] for name in (resize.input[0], resize.output[0]))
    # A column beside it grows, since ONNX Runtime copies what keeps its size, whatever the factor.
    if graph.has_input(resize, _SIZES):
        name, setting = resize.input[_SIZES], np.array([1, before, after, 2], np.int64)
    else:
        name = resize.input[_SCALES]
        setting = np.array([1, 1, graph.constants[name][axis], 2], np.float32)
    identity = np.eye(before, dtype=np.float32)[None, :, :, None]
    columns = run_resize(graph, resize, identity, {name: setting})[0, :, :, 0]
    return np.ascontiguousarray(columns.T)


def run_resize(
    graph: Editor, resize: Any, x: AnyArray, settings: Mapping[str, AnyArray]
) -> AnyArray:
    """What ONNX Runtime makes of `x` by a `Resize` that has no other inputs than `settings`, by
    name."""
    import onnx

    alone = deepcopy(resize)
    alone.input[1:] = [name if name in settings else "" for name in resize.input[1:]]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in ((resize.input[0], x.shape), (resize.output[0], None))
    ]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in settings.items()]
    body = onnx.helper.make_graph([alone], "resize", ends[:1], ends[1:], weights)
    whole = graph.model
    model = onnx.helper.make_model(
        body, opset_imports=whole.opset_import, ir_version=whole.ir_version
    )
    (made,) = Reference(model).run({resize.input[0]: x}).values()
    return made
