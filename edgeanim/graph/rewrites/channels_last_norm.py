"""Norms over groups of channels, or over each pixel's channels, of a map that stays as it lies.

OpenVINO's convolutions leave the channels innermost. A group norm is written as an instance norm
over [N, G, K], a layer norm as one over the last of four axes; for either OpenVINO lays the map out
anew, value by value, which takes longer than the convolution. Here the means are taken from the map
as it is: over each channel and then over the few numbers that this leaves, or over the channels.
Wu and He 2018, "Group Normalization"; Ba et al. 2016, "Layer Normalization".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each
from edgeanim.graph.rewrites.layout import TO_LAST
from edgeanim.graph.rewrites.norm_parts import between_reshapes

_EPSILON = 1e-5
Mean = Callable[[str], str]
"""From a map [N, C, H, W] to its means, which broadcast against it."""


def rewrite(model: Any) -> int:
    """Returns the number of norms restated."""
    return rewrite_each(model, _restate)


def _restate(graph: Editor, node: Any) -> bool:
    if node.op_type == "LayerNormalization":
        return _layer_norm(graph, node)
    if node.op_type == "GroupNormalization":
        return _group_norm(graph, node, node, node.input[0], attributes(node)["num_groups"])
    return _reshaped_norm(graph, node)


def _layer_norm(graph: Editor, node: Any) -> bool:
    """One over the channels of a map that was laid out for it."""
    given = attributes(node)
    last = graph.maker(node.input[0], "Transpose")
    scale, shift = graph.constant_of(node, 1), graph.constant_of(node, 2)
    alone = len([name for name in node.output if name]) == 1
    if last is None or attributes(last).get("perm") != list(TO_LAST) or not alone:
        return False
    if given.get("axis", -1) not in (-1, 3) or scale is None or scale.dtype != np.float32:
        return False
    if not graph.is_known(node, 2):
        return False
    near = node.output[0]
    mean = partial(_mean_over_channels, graph, near=near)
    made = _normed(graph, node, last.input[0], mean, (scale, shift), near=near)
    graph.replace(node, graph.add("Transpose", [made], near=near, perm=TO_LAST), renamed=True)
    return True


def _reshaped_norm(graph: Editor, node: Any) -> bool:
    """An instance norm between a reshape to groups and one back."""
    found = between_reshapes(graph, node)
    if found is None:
        return False
    norm, groups = found
    x = groups.input[0]
    scale = graph.constant_of(norm, 1)
    shape, each = graph.shapes.get(x), graph.shapes.get(groups.output[0])
    if shape is None or each is None or scale is None:
        return False
    if shape != graph.shapes.get(node.output[0]) or shape[:1] != each[:1]:
        return False  # of several pictures, whose groups are no groups of channels
    return _group_norm(graph, node, norm, x, len(scale))


def _group_norm(graph: Editor, node: Any, norm: Any, x: str, groups: int) -> bool:
    """Let `node` be what `norm` does to so many groups of channels of `x`; that scales and shifts
    each group or each channel."""
    scale, shift = graph.constant_of(norm, 1), graph.constant_of(norm, 2)
    shape = graph.shapes.get(x, ())
    if len(shape) != 4 or scale is None or shift is None or scale.dtype != np.float32:
        return False
    if not 1 <= groups < shape[1] or shape[1] % groups:
        return False
    near, each = node.output[0], shape[1] // len(scale)
    mean = partial(_mean_over_groups, graph, shape=shape, groups=groups, near=near)
    per_channel = np.repeat(scale, each), np.repeat(shift, each)
    made = _normed(graph, norm, x, mean, per_channel, near=near)
    graph.replace(node, made, renamed=True)
    return True


def _normed(
    graph: Editor,
    norm: Any,
    x: str,
    mean: Mean,
    per_channel: tuple[AnyArray, AnyArray | None],
    *,
    near: str,
) -> str:
    """(x - mean) / sqrt(variance + eps) * scale + shift, with the last two for each channel and the
    eps of `norm`."""
    centred = graph.add("Sub", [x, mean(x)], near=near)
    variance = mean(graph.add("Mul", [centred, centred], near=near))
    eps = np.array(attributes(norm).get("epsilon", _EPSILON), np.float32)
    variance = graph.add("Add", [variance, graph.constant(eps, near=near)], near=near)
    x = graph.add("Div", [centred, graph.add("Sqrt", [variance], near=near)], near=near)
    for op, values, neutral in zip(("Mul", "Add"), per_channel, (1.0, 0.0), strict=True):
        if values is not None and (values != neutral).any():
            x = graph.add(
                op, [x, graph.constant(values.reshape(1, -1, 1, 1), near=near)], near=near
            )
    return x


def _mean_over_channels(graph: Editor, x: str, *, near: str) -> str:
    """[N, 1, H, W]."""
    if graph.opset < 18:
        return graph.add("ReduceMean", [x], near=near, axes=[1], keepdims=1)
    axis = graph.constant(np.array([1], np.int64), near=near)
    return graph.add("ReduceMean", [x, axis], near=near, keepdims=1)


def _mean_over_groups(
    graph: Editor, x: str, *, shape: tuple[int, ...], groups: int, near: str
) -> str:
    """That over the pixels and channels of each group, [N, C, 1, 1]."""
    count, channels = shape[:2]
    each = channels // groups
    x = graph.add("GlobalAveragePool", [x], near=near)
    x = graph.reshaped(x, (count, groups, each), near=near)
    # The mean over the last axis, once for each number that it is the mean of.
    share = np.full((each, each), 1 / each, np.float32)
    x = graph.add("MatMul", [x, graph.constant(share, near=near)], near=near)
    return graph.reshaped(x, (count, channels, 1, 1), near=near)
