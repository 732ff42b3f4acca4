"""A computed scale and shift per channel, as of a style, join the instance norm above them.

InstanceNormalization takes both as inputs, so `norm(x) * gamma + beta` needs no passes of its own
over the picture, whether gamma and beta are constants or not (those are `affine`'s).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of scales and shifts moved into a norm."""
    return rewrite_each(model, _join)


def _join(graph: Editor, node: Any) -> bool:
    """A Mul joins a norm with scale 1 and shift 0, an Add one with shift 0."""
    if node.op_type not in ("Mul", "Add"):
        return False
    for x, factor in (node.input, reversed(list(node.input))):
        norm = graph.maker(x, "InstanceNormalization")
        if norm is None or graph.only_user(x) is None or not _per_channel(graph, x, factor):
            continue
        neutral = [graph.constant_of(norm, 1), graph.constant_of(norm, 2)]
        if neutral[1] is None or neutral[1].any():
            continue
        if node.op_type == "Mul" and (neutral[0] is None or (neutral[0] != 1).any()):
            continue
        channels = graph.constant(np.array([-1], np.int64), near=x)
        flat = graph.add("Reshape", [factor, channels], near=node.output[0])
        norm.input[1 if node.op_type == "Mul" else 2] = flat
        graph.reindex(norm)
        graph.replace(node, x)
        return True
    return False


def _per_channel(graph: Editor, x: str, factor: str) -> bool:
    """Whether `factor` is computed and one number for each channel of `x`, which is one picture."""
    shape, given = graph.shapes.get(x), graph.shapes.get(factor)
    if shape is None or given is None or factor in graph.constants or shape[0] != 1:
        return False
    if factor == x:  # a single pixel is one number for each of its own channels
        return False
    return given in (shape[:2] + (1,) * (len(shape) - 2), shape[1:2] + (1,) * (len(shape) - 2))
