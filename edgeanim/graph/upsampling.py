"""Resizing in an ONNX graph: by how much, and when it repeats pixels."""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes


def nearest_factor(graph: Editor, resize: Any) -> int | None:
    """f if output i of both axes of a `Resize` is input i div f; `None` for any other resizing."""
    given = attributes(resize)
    if given.get("mode", "nearest") != "nearest":
        return None
    scales = resize_scales(graph, resize)
    if scales is None or len(scales) != 4 or scales[:2] != (1, 1) or scales[2] != scales[3]:
        return None
    factor = int(scales[2])
    if factor < 2 or factor != scales[2]:
        return None
    coordinates = given.get("coordinate_transformation_mode", "half_pixel")
    rounding = given.get("nearest_mode", "round_prefer_floor")
    if coordinates == "asymmetric":
        return factor if rounding == "floor" else None
    # The centres of the small pixels never lie half way between those of the large ones.
    halves = coordinates in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
    return factor if halves and rounding.startswith("round") else None


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
    if graph.has_input(resize, 2):
        scales = graph.constant_of(resize, 2)
        if scales is None:
            return None
        if scales.size:
            factors = dict.fromkeys(range(len(before)), 1.0)
            axes = given.get("axes", range(len(before)))
            by_axis = zip(axes, scales.tolist(), strict=True)
            factors |= {axis % len(before): factor for axis, factor in by_axis}
            return tuple(factors.values())
    return tuple(new / old for old, new in zip(before, after, strict=True))
