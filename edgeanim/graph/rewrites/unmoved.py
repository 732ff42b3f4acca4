"""Norms over groups of channels, or over each pixel's channels, of a map that stays as it lies.

OpenVINO's convolutions leave the channels innermost. A group norm is written as a norm over
[N, G, K], a layer norm as one over four axes; for either OpenVINO lays the map out anew, value by
value, which takes longer than the convolution. Over groups the means are taken over each channel
first, and then over the few numbers that this leaves. Over channels the pixels are rows of an
instance norm of three axes, which reads them as they lie. Wu and He 2018, "Group Normalization";
Ba et al. 2016, "Layer Normalization".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of norms restated."""
    return rewrite_each(model, _restate)


def _restate(graph: Editor, node: Any) -> bool:
    if node.op_type == "LayerNormalization":
        return _over_channels(graph, node)
    if node.op_type == "GroupNormalization":
        return _group_norm(graph, node)
    return node.op_type == "Reshape" and _reshaped_norm(graph, node)


def _over_channels(graph: Editor, node: Any) -> bool:
    """A layer norm over the last one of [1, H, W, C]."""
    given = attributes(node)
    shape = graph.shapes.get(node.input[0], ())
    scale = graph.constant_of(node, 1)
    alone = len([name for name in node.output if name]) == 1
    if len(shape) != 4 or shape[0] != 1 or given.get("axis", -1) not in (-1, 3) or not alone:
        return False
    if scale is None or scale.dtype != np.float32:
        return False
    near, pixels = node.output[0], shape[1] * shape[2]
    rows = graph.reshaped(node.input[0], (1, pixels, shape[3]), near=near)
    eps = given.get("epsilon", 1e-5)
    neutral = [graph.constant(make(pixels, np.float32), near=near) for make in (np.ones, np.zeros)]
    x = graph.add("InstanceNormalization", [rows, *neutral], near=near, epsilon=eps)
    x = graph.add("Mul", [x, node.input[1]], near=near)
    if len(node.input) > 2 and node.input[2]:
        x = graph.add("Add", [x, node.input[2]], near=near)
    graph.replace(node, graph.reshaped(x, shape, near=near), renamed=True)
    return True


def _reshaped_norm(graph: Editor, node: Any) -> bool:
    """An instance norm between a reshape to groups and one back."""
    norm = graph.maker(node.input[0], "InstanceNormalization")
    groups = graph.maker(norm.input[0], "Reshape") if norm is not None else None
    if norm is None or groups is None or graph.only_user(norm.output[0]) is None:
        return False
    x = groups.input[0]
    if graph.shapes.get(x) != graph.shapes.get(node.output[0]):
        return False
    scale, shift = graph.constant_of(norm, 1), graph.constant_of(norm, 2)
    return _by_statistics(graph, node, x, scale, shift, attributes(norm).get("epsilon", 1e-5))


def _group_norm(graph: Editor, node: Any) -> bool:
    given = attributes(node)
    scale, shift = graph.constant_of(node, 1), graph.constant_of(node, 2)
    groups, eps = given["num_groups"], given.get("epsilon", 1e-5)
    return _by_statistics(graph, node, node.input[0], scale, shift, eps, groups)


def _by_statistics(
    graph: Editor,
    node: Any,
    x: str,
    scale: AnyArray | None,
    shift: AnyArray | None,
    eps: float,
    groups: int | None = None,
) -> bool:
    """Let `node` be (x - mean) / sqrt(variance + eps) * scale + shift, with these for each channel,
    or for each of as many groups as there are of them."""
    shape = graph.shapes.get(x, ())
    if len(shape) != 4 or scale is None or shift is None or scale.dtype != np.float32:
        return False
    groups = len(scale) if groups is None else groups
    if not 1 <= groups < shape[1] or shape[1] % groups:
        return False
    near = node.output[0]
    mean = _group_mean(graph, x, groups, shape, near=near)
    centred = graph.add("Sub", [x, mean], near=near)
    square = graph.add("Mul", [centred, centred], near=near)
    variance = _group_mean(graph, square, groups, shape, near=near)
    tiny = graph.constant(np.array(eps, np.float32), near=near)
    deviation = graph.add("Sqrt", [graph.add("Add", [variance, tiny], near=near)], near=near)
    made = graph.add("Div", [centred, deviation], near=near)
    for op, values, neutral in (("Mul", scale, 1.0), ("Add", shift, 0.0)):
        if (values != neutral).any():
            per_channel = np.repeat(values, shape[1] // len(values)).reshape(1, -1, 1, 1)
            made = graph.add(op, [made, graph.constant(per_channel, near=near)], near=near)
    graph.replace(node, made, renamed=True)
    return True


def _group_mean(graph: Editor, x: str, groups: int, shape: Sequence[int], *, near: str) -> str:
    """The mean over the pixels and channels of each group, [N, C, 1, 1], of `x` of this shape."""
    count, channels = shape[:2]
    x = graph.add("GlobalAveragePool", [x], near=near)
    x = graph.reshaped(x, (count, groups, channels // groups), near=near)
    # The mean over the last axis, once for each number that it is the mean of.
    share = np.full((channels // groups,) * 2, groups / channels, np.float32)
    x = graph.add("MatMul", [x, graph.constant(share, near=near)], near=near)
    return graph.reshaped(x, (count, channels, 1, 1), near=near)
