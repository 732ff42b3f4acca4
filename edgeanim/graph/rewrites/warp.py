"""GridSample becomes clamps and flat gathers, which every runtime executes well.

Runtimes without a fast GridSample decompose it into forty ops or run it on one pixel at a time.
Bilinear sampling of [1, C, H, W] at a grid [1, h, w, 2] of (x, y) in -1..1 is four gathers of
P = h w pixels from C flat planes, weighted by the distances. GatherElements, with one index
repeated over the planes, is several times faster in ONNX Runtime than Gather. The N pictures of a
stack, which models with one motion per keypoint warp at once, lie side by side: C planes of N H W
pixels. Semantics: ONNX GridSample.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, rewrite_each

_BILINEAR = ("bilinear", "linear")
_PADDING = ("zeros", "border")
INT32 = 6
"""`onnx.TensorProto.INT32`."""
_WHOLE = 1 << 24
"""Up to here float32, in which indices are computed, holds every whole number."""


def rewrite(model: Any) -> int:
    """Returns the number of warps lowered. Others than bilinear with zeros or border stay."""
    return rewrite_each(model, _lower)


def _lower(graph: Editor, node: Any) -> bool:
    if node.op_type != "GridSample":
        return False
    given = attributes(node)
    picture, grid = (graph.shapes.get(name) for name in node.input)
    padding = given.get("padding_mode", "zeros")
    if (
        given.get("mode", "bilinear") not in _BILINEAR
        or padding not in _PADDING
        or picture is None
        or grid is None
        or len(picture) != 4
        or picture[0] * picture[2] * picture[3] > _WHOLE
    ):
        return False
    warp = _Warp(graph, node.output[0])
    aligned = bool(given.get("align_corners", 0))
    count, channels, height, width = picture
    _, out_height, out_width, _ = grid
    points = count * out_height * out_width
    planes = warp.side_by_side(node.input[0], count)
    planes = warp.add("Reshape", planes, warp.sizes(channels, count * height * width))
    index_shape = warp.sizes(channels, points)
    flat = warp.add("Reshape", node.input[1], warp.sizes(points, 2))
    flat = warp.add("Transpose", flat, perm=[1, 0])
    x = warp.position(flat, 0, width, aligned, border=padding == "border")
    y = warp.position(flat, 1, height, aligned, border=padding == "border")
    zeros = padding == "zeros"
    firsts = ""
    if count > 1:
        starts = np.arange(0, count * height * width, height * width, dtype=np.float32)
        firsts = graph.constant(starts.repeat(points // count)[None], near=warp.near)
    size = (height, width)
    total = warp.sum_of_corners(planes, index_shape, x, y, size, firsts, zeros=zeros)
    lead = (1, channels) if count == 1 else (channels, count)
    total = warp.add("Reshape", total, warp.sizes(*lead, out_height, out_width))
    graph.replace(node, warp.side_by_side(total, count))
    return True


class _Warp:
    """Adds the ops of one warp, named after the output that they make."""

    def __init__(self, graph: Editor, near: str) -> None:
        self.graph = graph
        self.near = near

    def add(self, op: str, *inputs: str, **attrs: Any) -> str:
        return self.graph.add(op, inputs, near=self.near, **attrs)

    def number(self, value: float) -> str:
        return self.graph.constant(np.array(value, np.float32), near=self.near)

    def sizes(self, *values: int) -> str:
        return self.graph.constant(np.array(values, np.int64), near=self.near)

    def side_by_side(self, stack: str, count: int) -> str:
        """A stack of `count` pictures with its first two axes swapped, or the one picture."""
        return stack if count == 1 else self.add("Transpose", stack, perm=[1, 0, 2, 3])

    def position(self, flat: str, axis: int, size: int, aligned: bool, *, border: bool) -> str:
        """Pixel coordinates [1, P] along one axis.

        ((g + 1) size - 1) / 2; (g + 1) (size - 1) / 2 if -1 and 1 are the corners' centres.
        """
        column = self.add("Slice", flat, self.sizes(axis), self.sizes(axis + 1), self.sizes(0))
        scale = (size - 1) / 2 if aligned else size / 2
        offset = (size - 1) / 2
        pixels = self.add("Mul", column, self.number(scale))
        pixels = self.add("Add", pixels, self.number(offset))
        # Beyond two pixels outside nothing changes any more; the clamp keeps indices representable.
        low, high = (0, size - 1) if border else (-2, size + 1)
        return self.add("Clip", pixels, self.number(low), self.number(high))

    def sum_of_corners(
        self,
        planes: str,
        index_shape: str,
        x: str,
        y: str,
        size: tuple[int, int],
        firsts: str,
        *,
        zeros: bool,
    ) -> str:
        """The four pixels around each point, weighted; [C, P]. `firsts` are where in the planes the
        pictures of the points begin; empty where there is but one."""
        height, width = size
        columns = self.neighbours(x, width, zeros=zeros)
        lines = self.neighbours(y, height, zeros=zeros)
        total = ""
        for line, line_weight in lines:
            start = self.add("Mul", line, self.number(width))
            if firsts:
                start = self.add("Add", start, firsts)
            for column, column_weight in columns:
                index = self.add("Cast", self.add("Add", start, column), to=INT32)
                index = self.add("Expand", index, index_shape)
                weight = self.add("Mul", line_weight, column_weight)
                pixels = self.add("GatherElements", planes, index, axis=1)
                part = self.add("Mul", pixels, weight)
                total = self.add("Add", total, part) if total else part
        return total

    def neighbours(self, position: str, size: int, *, zeros: bool) -> list[tuple[str, str]]:
        """The pixel before and the one after, kept inside, each with its weight [1, P]."""
        before = self.add("Floor", position)
        after = self.add("Add", before, self.number(1))
        share = self.add("Sub", position, before)
        pairs = ((before, self.add("Sub", self.number(1), share)), (after, share))
        found = []
        for pixel, weight in pairs:
            inside = self.add("Clip", pixel, self.number(0), self.number(size - 1))
            if zeros:
                distance = self.add("Abs", self.add("Sub", pixel, inside))
                present = self.add("Sub", self.number(1), distance)
                present = self.add("Clip", present, self.number(0), self.number(1))
                weight = self.add("Mul", weight, present)
            found.append((inside, weight))
        return found
