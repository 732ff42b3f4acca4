"""Resize, and the moves between depth and space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from edgeanim.graph.pytorch.converters.builder import Builder, Converter
from edgeanim.graph.pytorch.converters.shape import PicturePad
from edgeanim.graph.upsampling import axis_weights, resize_scales, run_resize

# A factor that gives whole numbers of pixels leaves no rest to be symmetric about.
_TORCHS_OWN = ("align_corners", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
_MOST_PARTS = 8
"""Of how many parts a pixel is at most, if a picture is made larger for the sake of its size."""
# Channels last, a move between depth and space is one transposition of whole runs; the permutations
# around it cancel against those of the TFLite converter.
_TO_LAST = (0, 2, 3, 1)
_TO_FIRST = (0, 3, 1, 2)


_Scale = Callable[[fx.Node, int, int], fx.Node]
"""Resizes the last two axes of [N, C, H, W], which are these two of the graph. One that is 0 keeps
its length, whatever that is."""


def resize(b: Builder, node: Any) -> fx.Node:
    """Height and width of [N, C, H, W] to a fixed size; of [N, C, D, H, W] the depth too."""
    before, after = b.ends(node)
    rank = len(before)
    if rank not in (4, 5) or before[:2] != after[:2]:
        raise b.refuse(node, "it resizes other axes than depth, height and width")
    if before == after:  # ONNX Runtime copies what keeps its size, whatever the factor
        return b.call(torch.clone, b.value(node.input[0]))
    nearest = b.attrs(node).get("mode", "nearest") == "nearest"
    scale = _nearest(b, node) if nearest else _interpolated(b, node)
    x = b.value(node.input[0])
    if rank == 4:
        return scale(x, 2, 3)
    # Each axis is resized on its own, so planes can be, and then the depth of all their pixels.
    count, channels, depth, height, width = after
    if before[3:] != after[3:]:
        x = b.call(torch.reshape, x, (count, channels * before[2], *before[3:]))
        x = scale(x, 3, 4)
    if before[2] != depth:
        x = b.call(torch.reshape, x, (count, channels, before[2], height * width))
        x = scale(x, 2, 0)
    return b.call(torch.reshape, x, tuple(after))


def _interpolated(b: Builder, node: Any) -> _Scale:
    """In torch's own way, where that is the same and TFLite has it; else by the weights of each
    axis."""
    given = b.attrs(node)
    before, after = b.ends(node)
    mode, coordinates = given["mode"], given.get("coordinate_transformation_mode", "half_pixel")
    scales = resize_scales(b.onnx, node)
    if scales is None:
        raise b.refuse(node, "its factors are computed, or it keeps the aspect ratio")
    if coordinates == "tf_crop_and_resize":
        raise b.refuse(node, f"{mode} resizing with {coordinates} coordinates")
    aligned = coordinates == "align_corners"
    sizes = list(zip(before[2:], after[2:], strict=True))
    found = sizes if aligned else list(map(_whole_sizes, before[2:], after[2:], scales[2:]))
    wholes = [pair for pair in found if pair is not None]
    single = coordinates == "pytorch_half_pixel" and any(new == 1 < old for old, new in sizes)
    smooth = mode == "cubic" or given.get("antialias", 0)
    if smooth or single or len(wholes) < len(sizes):
        return _by_weights(b, node)
    if coordinates == "asymmetric" and wholes == sizes:
        multiples = all(max(pair) % min(pair) == 0 for pair in sizes)
        return _from_the_corner(b, node) if multiples else _by_weights(b, node)
    symmetric = coordinates == "half_pixel_symmetric" and wholes != sizes
    if coordinates not in _TORCHS_OWN or symmetric:
        return _by_weights(b, node)
    return _as_in_torch(b, node, wholes, aligned=aligned)


def _as_in_torch(
    b: Builder, node: Any, wholes: Sequence[tuple[int, int]], *, aligned: bool
) -> _Scale:
    """In torch's own way, from one of the `wholes` of each axis after the channels to the other:
    to the first of them a picture is padded, and what is too much of the second is cut off."""
    before, after = b.ends(node)
    settings = {"mode": "bilinear", "align_corners": aligned}

    def scale(x: fx.Node, rows: int, columns: int) -> fx.Node:
        # What is beside the depth are the pixels of a whole plane.
        plane = prod(after[3:])
        pairs = [wholes[axis - 2] if axis else (plane, plane) for axis in (rows, columns)]
        olds = (before[rows], before[columns] if columns else plane)
        more = [padded - old for (padded, _), old in zip(pairs, olds, strict=True)]
        if any(more):
            x = b.module(node, PicturePad("replicate", [0, 0], more, olds), x)
        x = b.call(F.interpolate, x, size=tuple(size for _, size in pairs), **settings)
        for place, axis in enumerate((rows, columns), 2):
            if axis and more[place - 2]:
                x = b.call(torch.narrow, x, place, 0, after[axis])
        return x

    return scale


def _whole_sizes(before: int, after: int, scale: float) -> tuple[int, int] | None:
    """The least size, of `before` pixels at least, that becomes a whole number of them, and that
    number; `None` if the factor is no simple fraction. With the last pixel repeated so often, the
    first `after` pixels are the same."""
    if abs(scale * before - after) <= 1e-3:
        return before, after
    share = Fraction(scale).limit_denominator(_MOST_PARTS)
    if abs(scale - share) * before > 1e-3:
        return None
    padded = -(-before // share.denominator) * share.denominator
    return padded, int(padded * share)


def _by_weights(b: Builder, node: Any) -> _Scale:
    """As a product for each axis that changes, channels last, where no axis has to be moved."""
    before, after = b.ends(node)
    scales = resize_scales(b.onnx, node) or ()
    weights = {
        axis: b.buffer(node, torch.from_numpy(axis_weights(b.onnx, node, axis)))
        for axis in range(2, len(before))
        if scales[axis] != 1
    }

    def scale(x: fx.Node, rows: int, columns: int) -> fx.Node:
        count, height = before[0], before[rows]
        width = before[columns] if columns else prod(after[3:])
        x = b.call(torch.permute, x, _TO_LAST)
        if rows in weights:
            x = b.call(torch.reshape, x, (count, height, -1))
            x = b.call(torch.matmul, weights[rows], x)
            x = b.call(torch.reshape, x, (count, after[rows], width, -1))
        if columns in weights:
            x = b.call(torch.matmul, weights[columns], x)
        return b.call(torch.permute, x, _TO_FIRST)

    return scale


def _from_the_corner(b: Builder, node: Any) -> _Scale:
    """Linear, by whole factors: with the last pixels repeated once, the corners of the picture and
    of what it becomes are one each, and what is too much is cut off. Smaller it takes pixels as
    they are."""
    before, after = b.ends(node)

    def scale(x: fx.Node, rows: int, columns: int) -> fx.Node:
        plane = prod(after[3:])  # beside the depth
        olds, news = ([s[rows], s[columns] if columns else plane] for s in (before, after))
        ups = [max(1, new // old) for old, new in zip(olds, news, strict=True)]
        downs = [max(1, old // new) for old, new in zip(olds, news, strict=True)]
        if max(ups) > 1:
            more = [int(up > 1) for up in ups]
            x = b.module(node, PicturePad("replicate", [0, 0], more, tuple(olds)), x)
            pairs = list(zip(olds, ups, more, strict=True))
            size = tuple(old * up + one for old, up, one in pairs)
            x = b.call(F.interpolate, x, size=size, mode="bilinear", align_corners=True)
            for axis, (old, up, _) in enumerate(pairs, 2):
                x = b.call(torch.narrow, x, axis, 0, old * up)
        return b.call(F.max_pool2d, x, 1, tuple(downs)) if max(downs) > 1 else x

    return scale


def _nearest(b: Builder, node: Any) -> _Scale:
    """Larger by whole factors it is torch's own way, where that takes the same pixels as ONNX, and
    smaller by such ones a pool of single pixels. Else the pixels are picked: of torch's own way
    the TFLite converter makes one that takes them by their centres, which is another."""
    before = b.shape(node.input[0], node)
    wanted = _taken(b, node, before[2:])

    def scale(x: fx.Node, rows: int, columns: int) -> fx.Node:
        lengths = [before[axis] if axis else 1 for axis in (rows, columns)]
        places = [wanted[axis - 2].tolist() if axis else [0] for axis in (rows, columns)]
        up = [len(taken) // length for taken, length in zip(places, lengths, strict=True)]
        pairs = list(zip(up, lengths, strict=True))
        if places == [[i // n for i in range(length * n)] for n, length in pairs]:
            return b.call(F.interpolate, x, scale_factor=tuple(map(float, up)), mode="nearest")
        down = [max(1, n // len(taken)) for n, taken in zip(lengths, places, strict=True)]
        pairs = list(zip(down, lengths, strict=True))
        if places == [list(range(0, length, n)) for n, length in pairs]:
            return b.call(F.max_pool2d, x, 1, tuple(down))
        for place, axis in enumerate((rows, columns), 2):
            if axis:
                x = b.call(torch.index_select, x, place, b.buffer(node, wanted[axis - 2]))
        return x

    return scale


def _taken(b: Builder, node: Any, before: tuple[int, ...]) -> list[torch.Tensor]:
    """The places along each axis that ONNX Runtime takes, int64: it is asked, as float32 decides
    which of two pixels is nearer."""
    settings = {
        name: b.constant(node, i, "size") for i, name in enumerate(node.input) if i and name
    }
    if b.present(node, 3) and settings[node.input[3]].size == len(before) + 2:
        settings[node.input[3]] = np.array([1, 1, *settings[node.input[3]][2:]], np.int64)
    numbers = np.arange(np.prod(before), dtype=np.float32).reshape(1, 1, *before)
    made = run_resize(b.onnx, node, numbers, settings)
    found = np.unravel_index(made[0, 0].astype(np.int64), before)
    places = [
        np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1)[:, 0]
        for axis, each in enumerate(found)
    ]
    if not np.array_equal(made[0, 0], np.ravel_multi_index(np.ix_(*places), before)):
        raise b.refuse(node, "nearest resizing that makes up pixels")
    return [torch.from_numpy(each) for each in places]


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
