"""Instance normalisation that was written out becomes one InstanceNormalization.

Two ways of writing it are known, each with the variance as the mean of squared differences:

    (x - mean) / sqrt(var + eps)                              then perhaps * gamma + beta
    x * s + (beta - mean * s),  s = gamma / sqrt(var + eps)   as TensorFlow's batch norm does

A norm that was flattened to [N, C, H W] gets its four axes back.

gamma and beta may be computed (a style); what is constant per channel moves into the norm by
`affine`. Ulyanov et al. 2016, "Instance Normalization".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, rewrite_each
from edgeanim.graph.rewrites.norm_parts import NormParts, between_reshapes


def rewrite(model: Any) -> int:
    """Returns the number of norms recognised."""
    return rewrite_each(model, _match)


def _match(graph: Editor, node: Any) -> bool:
    parts = NormParts(graph, lambda rank: [2, 3] if rank == 4 else None)
    if found := parts.normed(node):
        graph.replace(node, _norm(graph, *found, near=node.output[0]))
        return True
    return _match_scaled(graph, parts, node) or _match_flat(graph, node)


def _match_scaled(graph: Editor, parts: NormParts, node: Any) -> bool:
    """`x * s + (beta - mean * s)` with `s = (1 / std) * gamma`."""
    if node.op_type != "Add":
        return False
    for scaled, shift in (node.input, reversed(list(node.input))):
        product, difference = graph.maker(scaled, "Mul"), graph.maker(shift, "Sub")
        if product is None or difference is None:
            continue
        for x, scale in (product.input, reversed(list(product.input))):
            found = parts.scale(scale)
            if found is None or found[0] != x:
                continue
            _, mean, eps, gamma = found
            beta, moved = difference.input
            shifted = graph.maker(moved, "Mul")
            if shifted is None or sorted(shifted.input) != sorted([mean, scale]):
                continue
            near = node.output[0]
            result = _norm(graph, x, eps, near=near)
            if gamma is not None:
                result = graph.add("Mul", [result, gamma], near=near)
            graph.replace(node, graph.add("Add", [result, beta], near=near))
            return True
    return False


def _match_flat(graph: Editor, node: Any) -> bool:
    """A norm between a reshape to [N, C, H W] and one back."""
    found = between_reshapes(graph, node)
    if found is None:
        return False
    norm, flat = found
    before, after = (graph.shapes.get(name) for name in (flat.input[0], node.output[0]))
    between = graph.shapes.get(flat.output[0])
    if before is None or before != after or len(before) != 4 or between is None:
        return False
    if between != (*before[:2], before[2] * before[3]):
        return False
    settings = [a for a in norm.attribute if a.name == "epsilon"]
    eps = settings[0].f if settings else 1e-5
    inputs = [flat.input[0], *norm.input[1:]]
    made = graph.add("InstanceNormalization", inputs, near=node.output[0], epsilon=eps)
    graph.replace(node, made)
    return True


def _norm(graph: Editor, x: str, eps: float, *, near: str) -> str:
    channels = graph.shapes[x][1]
    ones = graph.constant(np.ones(channels, np.float32), near=near)
    zeros = graph.constant(np.zeros(channels, np.float32), near=near)
    return graph.add("InstanceNormalization", [x, ones, zeros], near=near, epsilon=eps)
