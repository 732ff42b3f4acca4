"""Resize, and the moves between depth and space."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from edgeanim.graph.converters.builder import Builder, Converter

_ALIGN = {"align_corners": True, "half_pixel": False, "pytorch_half_pixel": False}
_MODES = {"linear": "bilinear", "cubic": "bicubic"}
# Channels last, a move between depth and space is one transposition of whole runs; the permutations
# around it cancel against those of the TFLite converter.
_TO_LAST = (0, 2, 3, 1)
_TO_FIRST = (0, 3, 1, 2)


def resize(b: Builder, node: Any) -> fx.Node:
    """Height and width of [N, C, H, W] to a fixed size."""
    given = b.attrs(node)
    before, after = b.shape(node.input[0], node), b.shape(node.output[0], node)
    if len(before) != 4 or before[:2] != after[:2]:
        raise b.refuse(node, "it resizes other axes than height and width")
    size, mode = tuple(after[2:]), given.get("mode", "nearest")
    coordinates = given.get("coordinate_transformation_mode", "half_pixel")
    x = b.value(node.input[0])
    if mode == "nearest":
        return _nearest(b, node, x, before[2:], size)
    if coordinates not in _ALIGN or given.get("antialias", 0):
        raise b.refuse(node, f"{mode} resizing with {coordinates} coordinates")
    if mode == "cubic" and given.get("cubic_coeff_a", -0.75) != -0.75:
        raise b.refuse(node, "its cubic coefficient is not -0.75")
    if mode == "cubic" and given.get("exclude_outside", 0):
        raise b.refuse(node, "it weighs the border anew")
    if any(abs(_scale(b, node, i) * before[i] - after[i]) > 1e-3 for i in (2, 3)):
        raise b.refuse(node, f"{mode} resizing by a factor that gives no whole number of pixels")
    return b.call(F.interpolate, x, size=size, mode=_MODES[mode], align_corners=_ALIGN[coordinates])


def _nearest(
    b: Builder, node: Any, x: fx.Node, before: tuple[int, ...], size: tuple[int, ...]
) -> fx.Node:
    """torch knows one way to take the nearest pixel, which is right where it takes the same ones as
    ONNX. A factor is better than a size: it says that it is whole to whoever reads the graph."""
    wanted = [_taken(b, node, axis) for axis in (2, 3)]
    factors = [new / old for new, old in zip(size, before, strict=True)]
    whole = all(factor.is_integer() for factor in factors)
    by_factor: list[dict[str, Any]] = [{"scale_factor": tuple(factors)}] if whole else []
    for way in [*by_factor, {"size": size}]:
        numbers = torch.arange(float(prod(before))).reshape(1, 1, *before)
        made = F.interpolate(numbers, mode="nearest", **way)
        if torch.equal(made[0, 0], numbers[0, 0][wanted[0]][:, wanted[1]]):
            return b.call(F.interpolate, x, mode="nearest", **way)
    coordinates = b.attrs(node).get("coordinate_transformation_mode", "half_pixel")
    raise b.refuse(node, f"nearest resizing by {factors} with {coordinates} coordinates")


def _taken(b: Builder, node: Any, axis: int) -> torch.Tensor:
    """The pixels that ONNX takes along an axis, int64 [new size]: the formulas of its operator
    reference, in float32 as runtimes compute them."""
    given = b.attrs(node)
    old, new = b.shape(node.input[0], node)[axis], b.shape(node.output[0], node)[axis]
    scale = torch.tensor(_scale(b, node, axis))
    place = torch.arange(new, dtype=torch.float32)
    half = (place + 0.5) / scale - 0.5
    coordinates = given.get("coordinate_transformation_mode", "half_pixel")
    places = {
        "half_pixel": half,
        "half_pixel_symmetric": old / 2 * (1 - new / (scale * old)) + half,
        "pytorch_half_pixel": half if new > 1 else torch.zeros(1),
        "align_corners": place * (old - 1) / max(new - 1, 1),
        "asymmetric": place / scale,
    }
    roundings = {
        "round_prefer_floor": lambda x: torch.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: torch.floor(x + 0.5),
        "floor": torch.floor,
        "ceil": torch.ceil,
    }
    rounding = given.get("nearest_mode", "round_prefer_floor")
    if coordinates not in places or rounding not in roundings:
        raise b.refuse(node, f"nearest resizing with {coordinates} coordinates, {rounding}")
    return roundings[rounding](places[coordinates]).clamp(0, old - 1).long()


def _scale(b: Builder, node: Any, axis: int) -> float:
    """The factor that ONNX reckons with: the one given, which need not lead to whole pixels."""
    given = b.attrs(node)
    if given.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise b.refuse(node, "it keeps the aspect ratio")
    if b.present(node, 2) and (scales := b.constant(node, 2, "scale")).size:
        axes = given.get("axes", range(scales.size))
        return float(dict(zip(axes, scales.tolist(), strict=True)).get(axis, 1.0))
    return b.shape(node.output[0], node)[axis] / b.shape(node.input[0], node)[axis]


def depth_to_space(b: Builder, node: Any) -> fx.Node:
    """CRD is torch's pixel shuffle; DCR, the default, has the block first."""
    given = b.attrs(node)
    block = given["blocksize"]
    x = b.value(node.input[0])
    if given.get("mode", "DCR") == "CRD":
        return b.call(F.pixel_shuffle, x, block)
    n, channels, height, width = b.shape(node.input[0], node)
    kept = channels // block**2
    x = b.call(torch.permute, x, _TO_LAST)
    x = b.call(torch.reshape, x, (n * height, width, block, block * kept))
    x = b.call(torch.transpose, x, 1, 2)
    x = b.call(torch.reshape, x, (n, height * block, width * block, kept))
    return b.call(torch.permute, x, _TO_FIRST)


def space_to_depth(b: Builder, node: Any) -> fx.Node:
    """The block comes first among the channels, unlike in torch's pixel unshuffle."""
    block = b.attrs(node)["blocksize"]
    n, channels, height, width = b.shape(node.input[0], node)
    rows, columns = height // block, width // block
    x = b.call(torch.permute, b.value(node.input[0]), _TO_LAST)
    x = b.call(torch.reshape, x, (n * rows, block, columns, block * channels))
    x = b.call(torch.transpose, x, 1, 2)
    x = b.call(torch.reshape, x, (n, rows, columns, channels * block**2))
    return b.call(torch.permute, x, _TO_FIRST)


CONVERTERS: dict[str, Converter] = {
    "DepthToSpace": depth_to_space,
    "Resize": resize,
    "SpaceToDepth": space_to_depth,
}
