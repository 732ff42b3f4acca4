"""Pixels that are repeated in axes of their own are a nearest upsampling.

So `repeat_interleave` and `expand` enlarge a map: each pixel gets an axis beside it, along which it
is copied, and a reshape joins the two. Of an upsampling every runtime has a kernel, in 8 bits too,
and a convolution behind one can move before it (`upsampled`); what is copied in five axes or six is
transposed around them, stays in float, and takes many times as long.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each
from edgeanim.graph.queries import float_values
from edgeanim.graph.upsampling import nearest_factors

_SPREADING = ("Expand", "Tile")
_RESHAPING = ("Reshape", "Squeeze", "Unsqueeze")


def rewrite(model: Any) -> int:
    """Returns the number of maps [N, C, H, W] of floats that a Resize enlarges now. Of two in a
    row, by which `repeat_interleave` enlarges rows and columns, one is left."""
    return rewrite_each(model, partial(_upsample, float_values(model)))


def _upsample(floats: Collection[str], graph: Editor, node: Any) -> bool:
    found = _repeated(graph, node) if node.op_type == "Reshape" else None
    if found is None or node.output[0] not in floats:
        return False
    x, rows, columns = found
    inner = graph.maker(x, "Resize")
    before = nearest_factors(graph, inner) if inner is not None else None
    if inner is not None and before is not None:
        x, rows, columns = inner.input[0], rows * before[0], columns * before[1]
    near = node.output[0]
    scales = graph.constant(np.array([1, 1, rows, columns], np.float32), near=near)
    made = graph.add(
        "Resize",
        [x, "", scales],
        near=near,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    graph.replace(node, made, renamed=True)
    return True


def _repeated(graph: Editor, reshape: Any) -> tuple[str, int, int] | None:
    """The map whose pixels a Reshape's result repeats, how often along rows, and along columns."""
    spread = graph.maker(reshape.input[0], *_SPREADING)
    large = graph.shapes.get(reshape.output[0], ())
    source = _map_before(graph, spread.input[0]) if spread is not None else None
    if spread is None or source is None or len(large) != 4:
        return None
    before, after = (graph.shapes.get(name) for name in (spread.input[0], spread.output[0]))
    count, channels, height, width = graph.shapes[source]
    if before is None or after is None or 0 in (*before, *after):
        return None
    rows, columns = large[2] // height, large[3] // width
    # How long each axis was, and how often it is copied.
    wanted = [(count, 1), (channels, 1), (height, 1), (1, rows), (width, 1), (1, columns)]
    padded = (1,) * (len(after) - len(before)) + before
    copies = [(old, new // old) for old, new in zip(padded, after, strict=True)]
    if (rows, columns) == (1, 1) or _longer(copies) != _longer(wanted):
        return None
    return source, rows, columns


def _longer(axes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those axes that are not of length 1 in the end."""
    return [axis for axis in axes if axis != (1, 1)]


def _map_before(graph: Editor, name: str) -> str | None:
    """What of four axes `name` is a reshaped form of."""
    while len(graph.shapes.get(name, ())) != 4:
        maker = graph.maker(name, *_RESHAPING)
        if maker is None:
            return None
        name = maker.input[0]
    return name
