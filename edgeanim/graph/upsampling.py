"""Nearest upsampling in an ONNX graph: when it repeats pixels, and how often."""

from __future__ import annotations

from typing import Any

from edgeanim.graph.edit import Editor, attributes


def nearest_factor(graph: Editor, resize: Any) -> int | None:
    """f if output i of both axes of a `Resize` is input i div f; `None` for any other resizing."""
    given = attributes(resize)
    before, after = (graph.shapes.get(name, ()) for name in (resize.input[0], resize.output[0]))
    if given.get("mode", "nearest") != "nearest" or len(before) != 4 or before[:2] != after[:2]:
        return None
    factor = after[2] // before[2]
    if factor < 2 or after[2:] != (before[2] * factor, before[3] * factor):
        return None
    coordinates = given.get("coordinate_transformation_mode", "half_pixel")
    rounding = given.get("nearest_mode", "round_prefer_floor")
    if coordinates == "asymmetric":
        return factor if rounding == "floor" else None
    # The centres of the small pixels never lie half way between those of the large ones.
    halves = coordinates in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
    return factor if halves and rounding.startswith("round") else None
