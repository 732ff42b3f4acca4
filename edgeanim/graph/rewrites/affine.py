"""A constant per-channel scale or shift after a convolution or a norm moves into its weights.

Batch normalisation at inference is one: y = (x - mean) * scale / sqrt(var + eps) + bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each
from edgeanim.graph.queries import along_axis

_FOLDABLE = ("Conv", "ConvTranspose", "InstanceNormalization")


def rewrite(model: Any) -> int:
    """Returns the number of ops folded away."""
    return rewrite_each(model, _fold)


def _fold(graph: Editor, node: Any) -> bool:
    found = _affine(graph, node)
    if found is None:
        return False
    x, scale, shift = found
    target = graph.maker(x, *_FOLDABLE)
    if target is None or graph.only_user(x) is None:
        return False
    weight = graph.constant_of(target, 1)
    has_bias = graph.has_input(target, 2)
    bias = graph.constant_of(target, 2) if has_bias else np.zeros(scale.shape, np.float32)
    if weight is None or bias is None:
        return False
    target.input[1] = graph.constant(_scaled(target, weight, scale), near=target.input[1])
    graph.set_constant(target, 2, (bias * scale + shift).astype(np.float32))
    graph.reindex(target)
    graph.replace(node, x, *node.output[1:])
    return True


def _affine(graph: Editor, node: Any) -> tuple[str, AnyArray, AnyArray] | None:
    """x, scale and shift per channel, if `node` computes `x * scale + shift`."""
    if node.op_type == "BatchNormalization":
        gamma, beta, mean, variance = (graph.constant_of(node, i) for i in (1, 2, 3, 4))
        if gamma is None or beta is None or mean is None or variance is None:
            return None
        given = attributes(node)
        if given.get("training_mode", 0):
            return None
        scale = gamma.astype(np.float64) / np.sqrt(variance + given.get("epsilon", 1e-5))
        return node.input[0], scale, beta - mean * scale
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    for index in (0, 1):
        constant = graph.constant_of(node, index)
        x = node.input[1 - index]
        if constant is None or (index == 0 and node.op_type in ("Sub", "Div")):
            continue
        shape = graph.shapes.get(x, ())
        found = along_axis(constant, shape, 1) if len(shape) > 2 else None
        if found is None:
            continue
        value = found.astype(np.float64)
        one, zero = np.ones_like(value), np.zeros_like(value)
        if node.op_type in ("Add", "Sub"):
            return x, one, value if node.op_type == "Add" else -value
        return x, value if node.op_type == "Mul" else one / value, zero
    return None


def _scaled(target: Any, weight: AnyArray, scale: AnyArray) -> AnyArray:
    """The weight whose outputs are `scale` times as large."""
    if target.op_type == "ConvTranspose":
        groups = attributes(target).get("group", 1)
        inner = (1,) * (weight.ndim - 2)
        split = weight.reshape(groups, -1, *weight.shape[1:])
        factors = scale.reshape(groups, 1, weight.shape[1], *inner)
        return (split * factors).reshape(weight.shape).astype(np.float32)
    factors = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return (weight * factors).astype(np.float32)
