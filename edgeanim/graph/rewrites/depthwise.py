"""One filter for all channels, which are taken for pictures of their own, is a depthwise one.

So StyleGAN blurs: the channels become a batch of grey pictures, which one convolution filters.
Runtimes compute 8 or 16 channels of each picture at a time, of which one is there then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each, set_attributes


def rewrite(model: Any) -> int:
    """Returns the number of convolutions that are depthwise now."""
    return rewrite_each(model, _by_channel)


def _by_channel(graph: Editor, node: Any) -> bool:
    kernel = graph.constant_of(node, 1) if node.op_type == "Conv" else None
    shape, out = (graph.shapes.get(name, ()) for name in (*node.input[:1], *node.output[:1]))
    bias = graph.constant_of(node, 2)
    if (
        kernel is None
        or kernel.ndim != 4
        or kernel.shape[:2] != (1, 1)
        or len(shape) != 4
        or shape[0] == 1
        or not graph.is_known(node, 2)
        or len(out) != 4
    ):
        return False
    count, near, given = shape[0], node.output[0], node.output[0]
    before, after = ((1, count, *sizes[2:]) for sizes in (shape, out))
    node.input[0] = _as(graph, node.input[0], before, near=near)
    graph.set_constant(node, 1, np.repeat(kernel, count, 0))
    if bias is not None:
        graph.set_constant(node, 2, np.repeat(bias, count))
    set_attributes(node, group=count)
    node.output[0] = made = graph.fresh(f"{given}/channels")
    graph.reindex(node)
    whole = graph.constant(np.array(out, np.int64), near=near)
    graph.add("Reshape", [made, whole], near=near, output=given)
    for user in graph.users(given):
        if user.op_type == "Reshape" and graph.shapes.get(user.output[0]) == after:
            graph.replace(user, made)
    return True


def _as(graph: Editor, name: str, shape: tuple[int, ...], *, near: str) -> str:
    """`name` in `shape`, without the reshape that made it."""
    maker = graph.maker(name, "Reshape")
    source = name if maker is None else maker.input[0]
    return source if graph.shapes.get(source) == shape else graph.reshaped(source, shape, near=near)
