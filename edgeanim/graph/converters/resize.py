"""Resize, and the moves between depth and space."""

from __future__ import annotations

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
    return b.call(F.interpolate, x, size=size, mode=_MODES[mode], align_corners=_ALIGN[coordinates])


def _nearest(
    b: Builder, node: Any, x: fx.Node, before: tuple[int, ...], size: tuple[int, ...]
) -> fx.Node:
    """torch takes floor(i * scale); for whole factors upwards every rounding says the same."""
    given = b.attrs(node)
    factors = [new / old for new, old in zip(size, before, strict=True)]
    if all(factor.is_integer() for factor in factors):
        whole = given.get("coordinate_transformation_mode", "half_pixel") != "align_corners"
        rounding = given.get("nearest_mode", "round_prefer_floor")
        asymmetric = given.get("coordinate_transformation_mode") == "asymmetric"
        if whole and (not asymmetric or rounding == "floor"):
            return b.call(F.interpolate, x, scale_factor=tuple(factors), mode="nearest")
    coordinates = given.get("coordinate_transformation_mode", "half_pixel")
    if (coordinates, given.get("nearest_mode")) == ("asymmetric", "floor"):
        return b.call(F.interpolate, x, size=size, mode="nearest")
    raise b.refuse(node, f"nearest resizing by {factors} with {coordinates} coordinates")


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
