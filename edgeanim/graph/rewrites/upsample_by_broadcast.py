"""Nearest upsampling of a convolution's result that is only added to something: a broadcast.

Each pixel of the small map is added to a square of the large one. With the channels innermost,
where 8-bit convolutions leave them, the square is two axes of the large map, along which the small
one broadcasts: nothing is copied, and what follows element by element runs in the same pass. For
such an upsampling in 8 bits OpenVINO takes as long as for a convolution. In floats nothing is
gained.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from edgeanim.graph.convolutions import is_convolution
from edgeanim.graph.edit import Editor, attributes, rewrite_each
from edgeanim.graph.upsampling import nearest_factor

_IN_PASSING = ("Relu", "LeakyRelu")
"""What runs in the same pass after the sum."""


def rewrite(model: Any, keep: Collection[str] = ()) -> int:
    """Returns the number of sums that broadcast now; nodes whose name is in `keep` stay."""
    return rewrite_each(model, partial(_broadcast, keep))


def _broadcast(keep: Collection[str], graph: Editor, node: Any) -> bool:
    found = _upsampled_operand(graph, node) if node.op_type == "Add" else None
    if found is None:
        return False
    resize, other = found
    after = graph.only_user(node.output[0])
    follower = after if after is not None and after.op_type in _IN_PASSING else None
    last = node if follower is None else follower
    if {resize.name, node.name, last.name} & set(keep):
        return False
    count, channels, height, width = graph.shapes[resize.input[0]]
    rows, columns = graph.shapes[resize.output[0]][2:]
    near = last.output[0]
    small, large = (
        _innermost(graph, name, (count, height, f, width, g, channels), near=near)
        for name, f, g in ((resize.input[0], 1, 1), (other, rows // height, columns // width))
    )
    x = graph.add("Add", [small, large], near=near)
    if follower is not None:
        x = graph.add(follower.op_type, [x], near=near, **attributes(follower))
    x = graph.reshaped(x, (count, rows, columns, channels), near=near)
    # Ranges are known by the name of what is rounded.
    graph.replace(last, graph.add("Transpose", [x], near=near, perm=[0, 3, 1, 2]), renamed=True)
    return True


def _upsampled_operand(graph: Editor, add: Any) -> tuple[Any, str] | None:
    """The `Resize` of a convolution's result that only `add` reads, and the other operand, if that
    has the shape of the sum."""
    for name, other in (add.input, reversed(add.input)):
        resize = graph.maker(name, "Resize")
        if (
            resize is not None
            and name != other
            and graph.only_user(name) is add
            and graph.shapes.get(other) == graph.shapes.get(name)
            and nearest_factor(graph, resize) is not None
            and is_convolution(graph.maker_behind(resize.input[0], _IN_PASSING))
        ):
            return resize, other
    return None


def _innermost(graph: Editor, name: str, shape: tuple[int, ...], *, near: str) -> str:
    """The NCHW map `name` with the channels innermost, in `shape`."""
    x = graph.add("Transpose", [name], near=near, perm=[0, 2, 3, 1])
    return graph.reshaped(x, shape, near=near)
