"""GridSample becomes clamps and flat gathers, which every runtime executes well.

Runtimes without a fast GridSample decompose it into forty ops or run it on one pixel at a time, and
OpenVINO has none for volumes.
Bilinear sampling of [1, C, H, W] at a grid [1, h, w, 2] of (x, y) in -1..1 is four gathers of
P = h w pixels from C flat planes, weighted by the distances; of a volume [1, C, D, H, W] at
(x, y, z) it is eight, and the nearest pixel is one. GatherElements, with one index
repeated over the planes, is several times faster in ONNX Runtime than Gather. The N pictures of a
stack, which models with one motion per keypoint warp at once, lie side by side: C planes of N H W
pixels. Semantics: ONNX GridSample.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each

_BILINEAR = ("bilinear", "linear")
_NEAREST = "nearest"
INT32 = 6
"""`onnx.TensorProto.INT32`."""
_WHOLE = 1 << 24
"""Up to here float32, in which indices are computed, holds every whole number."""


VOLUMES = (5,)
RANKS = (4, *VOLUMES)
"""Of pictures, and of volumes alone: a runtime may warp the ones well, and not have the others."""


def rewrite(model: Any, ranks: Collection[int] = RANKS) -> int:
    """Returns the number of warps lowered, of inputs of these `ranks`. Bicubic ones stay,
    and those of more pixels than can be counted. The results keep their names."""
    return rewrite_each(model, partial(_lower, ranks))


def _lower(ranks: Collection[int], graph: Editor, node: Any) -> bool:
    if node.op_type != "GridSample":
        return False
    given = attributes(node)
    picture, grid = (graph.shapes.get(name) for name in node.input)
    mode = given.get("mode", "bilinear")
    if (
        mode not in (*_BILINEAR, _NEAREST)
        or picture is None
        or grid is None
        or len(picture) not in ranks
        or picture[0] * prod(picture[2:]) > _WHOLE
    ):
        return False
    aligned = bool(given.get("align_corners", 0))
    warp = _Warp(graph, node.output[0], given.get("padding_mode", "zeros"), aligned)
    count, channels, *size = picture
    points = count * prod(grid[1:-1])
    planes = warp.side_by_side(node.input[0], picture)
    planes = warp.add("Reshape", planes, warp.sizes(channels, count * prod(size)))
    flat = warp.add("Reshape", node.input[1], warp.sizes(points, len(size)))
    flat = warp.add("Transpose", flat, perm=[1, 0])
    # The last axis comes first in a grid.
    axes = enumerate(reversed(size))
    positions = [warp.position(flat, axis, length) for axis, length in axes][::-1]
    if mode == _NEAREST:
        found = [[warp.nearest(each, n)] for each, n in zip(positions, size, strict=True)]
    else:
        found = [warp.neighbours(each, n) for each, n in zip(positions, size, strict=True)]
    firsts = ""
    if count > 1:
        starts = np.arange(0, count * prod(size), prod(size), dtype=np.float32)
        firsts = graph.constant(starts.repeat(points // count)[None], near=warp.near)
    total = warp.sum_of_corners(planes, warp.sizes(channels, points), found, size, firsts)
    made = (count, channels, *grid[1:-1])
    lead = (1, channels) if count == 1 else (channels, count)
    total = warp.add("Reshape", total, warp.sizes(*lead, *grid[1:-1]))
    graph.replace(node, warp.side_by_side(total, made), renamed=True)
    return True


class _Warp:
    """Adds the ops of one warp, named after the output that they make."""

    def __init__(self, graph: Editor, near: str, padding: str, aligned: bool) -> None:
        self.graph = graph
        self.near = near
        self.padding = padding
        self.aligned = aligned

    def add(self, op: str, *inputs: str, **attrs: Any) -> str:
        return self.graph.add(op, inputs, near=self.near, **attrs)

    def number(self, value: float) -> str:
        return self.graph.constant(np.array(value, np.float32), near=self.near)

    def sizes(self, *values: int) -> str:
        return self.graph.constant(np.array(values, np.int64), near=self.near)

    def with_number(self, op: str, value: str, number: float) -> str:
        return self.add(op, value, self.number(number))

    def clip(self, value: str, low: float, high: float) -> str:
        return self.add("Clip", value, self.number(low), self.number(high))

    def side_by_side(self, stack: str, shape: Sequence[int]) -> str:
        """A stack of pictures with its first two axes swapped, or the one picture."""
        if shape[0] == 1:
            return stack
        return self.add("Transpose", stack, perm=[1, 0, *range(2, len(shape))])

    def position(self, flat: str, axis: int, size: int) -> str:
        """Pixel coordinates [1, P] along one axis.

        ((g + 1) size - 1) / 2; (g + 1) (size - 1) / 2 if -1 and 1 are the corners' centres.
        """
        column = self.add("Slice", flat, self.sizes(axis), self.sizes(axis + 1), self.sizes(0))
        scale = (size - 1) / 2 if self.aligned else size / 2
        pixels = self.with_number("Mul", column, scale)
        return self.with_number("Add", pixels, (size - 1) / 2)

    def inside(self, pixels: str, size: int) -> str:
        """Coordinates brought to where there are pixels, or to where there are none if those
        outside are zero."""
        if self.padding == "zeros":
            # Beyond two pixels outside nothing changes; the clamp keeps indices representable.
            return self.clip(pixels, -2, size + 1)
        if self.padding == "reflection":
            pixels = self.reflected(pixels, size)
        return self.clip(pixels, 0, size - 1)

    def reflected(self, pixels: str, size: int) -> str:
        """Coordinates thrown back at the outer pixels' centres, or at their outer edges: a wave of
        triangles, as often as it takes."""
        low, span = (0.0, size - 1) if self.aligned else (-0.5, size)
        if span == 0:
            return pixels
        distance = self.add("Abs", self.with_number("Sub", pixels, low))
        rounds = self.add("Floor", self.with_number("Mul", distance, 1 / (2 * span)))
        distance = self.add("Sub", distance, self.with_number("Mul", rounds, 2 * span))
        distance = self.add("Abs", self.with_number("Sub", distance, span))
        return self.add("Sub", self.number(span + low), distance)

    def sum_of_corners(
        self,
        planes: str,
        index_shape: str,
        found: Sequence[Sequence[tuple[str, str]]],
        size: Sequence[int],
        firsts: str,
    ) -> str:
        """The pixels around each point, weighted; [C, P]. `found` has those of each axis, with an
        empty weight for 1. `firsts` are where in the planes the pictures of the points begin; empty
        where there is but one."""
        corners = found[0]
        for pixels, length in zip(found[1:], size[1:], strict=True):
            lines = [(self.with_number("Mul", line, length), weight) for line, weight in corners]
            corners = [
                (self.add("Add", line, pixel), self.product(weight, other))
                for line, weight in lines
                for pixel, other in pixels
            ]
        total = ""
        for place, weight in corners:
            index = self.add("Add", place, firsts) if firsts else place
            index = self.add("Expand", self.add("Cast", index, to=INT32), index_shape)
            part = self.product(self.add("GatherElements", planes, index, axis=1), weight)
            total = self.add("Add", total, part) if total else part
        return total

    def product(self, value: str, weight: str) -> str:
        """`value` times `weight`, each of which is 1 where it is empty."""
        return self.add("Mul", value, weight) if value and weight else value or weight

    def nearest(self, position: str, size: int) -> tuple[str, str]:
        """The pixel [1, P] nearest to each point, kept inside, and its weight; empty for 1."""
        return self.present(self.inside(self.add("Round", position), size), "", size)

    def neighbours(self, position: str, size: int) -> list[tuple[str, str]]:
        """The pixel before and the one after, kept inside, each with its weight [1, P]."""
        position = self.inside(position, size)
        before = self.add("Floor", position)
        after = self.with_number("Add", before, 1)
        share = self.add("Sub", position, before)
        rest = self.add("Sub", self.number(1), share)
        return [self.present(before, rest, size), self.present(after, share, size)]

    def present(self, pixel: str, weight: str, size: int) -> tuple[str, str]:
        """A pixel kept inside, and its weight, which outside is zero where the padding is."""
        inside = self.clip(pixel, 0, size - 1)
        if self.padding != "zeros":
            return inside, weight
        distance = self.add("Abs", self.add("Sub", pixel, inside))
        share = self.clip(self.add("Sub", self.number(1), distance), 0, 1)
        return inside, self.product(weight, share)
