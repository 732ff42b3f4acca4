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

from edgeanim.graph.edit import Editor, attributes, rewrite_each


def rewrite(model: Any) -> int:
    """Returns the number of norms recognised."""
    return rewrite_each(model, _match)


def _match(graph: Editor, node: Any) -> bool:
    return _match_divided(graph, node) or _match_scaled(graph, node) or _match_flat(graph, node)


def _match_divided(graph: Editor, node: Any) -> bool:
    """`(x - mean) / std` or `(x - mean) * (1 / std)`."""
    if node.op_type == "Div":
        pairs = [(node.input[0], _deviation(graph, node.input[1]))]
    elif node.op_type == "Mul":
        pairs = [
            (a, _inverse_deviation(graph, b)) for a, b in (node.input, reversed(list(node.input)))
        ]
    else:
        return False
    for centred, found in pairs:
        if found is None:
            continue
        x, mean, eps = found
        difference = graph.maker(centred, "Sub")
        if difference is not None and list(difference.input) == [x, mean]:
            graph.replace(node, _norm(graph, x, eps, near=node.output[0]))
            return True
    return False


def _match_scaled(graph: Editor, node: Any) -> bool:
    """`x * s + (beta - mean * s)` with `s = (1 / std) * gamma`."""
    if node.op_type != "Add":
        return False
    for scaled, shift in (node.input, reversed(list(node.input))):
        product, difference = graph.maker(scaled, "Mul"), graph.maker(shift, "Sub")
        if product is None or difference is None:
            continue
        for x, scale in (product.input, reversed(list(product.input))):
            found = _scale(graph, scale)
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
    norm = (
        graph.maker(node.input[0], "InstanceNormalization") if node.op_type == "Reshape" else None
    )
    flat = graph.maker(norm.input[0], "Reshape") if norm is not None else None
    if norm is None or flat is None or graph.only_user(norm.output[0]) is None:
        return False
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


def _scale(graph: Editor, name: str) -> tuple[str, str, float, str | None] | None:
    """x, mean, eps and gamma, if `name` is `gamma / std` (gamma `None` if it is `1 / std`)."""
    plain = _inverse_deviation(graph, name)
    if plain is not None:
        return (*plain, None)
    product = graph.maker(name, "Mul")
    if product is not None:
        for inverse, gamma in (product.input, reversed(list(product.input))):
            found = _inverse_deviation(graph, inverse)
            if found is not None:
                return (*found, gamma)
    quotient = graph.maker(name, "Div")
    if quotient is not None:
        found = _deviation(graph, quotient.input[1])
        if found is not None:
            return (*found, quotient.input[0])
    return None


def _inverse_deviation(graph: Editor, name: str) -> tuple[str, str, float] | None:
    """x, mean and eps, if `name` is `1 / sqrt(var + eps)`."""
    node = graph.maker(name, "Reciprocal", "Div", "Pow")
    if node is None:
        return None
    if node.op_type == "Pow":
        return _variance(graph, node.input[0]) if graph.scalar_of(node, 1) == -0.5 else None
    if node.op_type == "Div":
        return _deviation(graph, node.input[1]) if graph.scalar_of(node, 0) == 1.0 else None
    return _deviation(graph, node.input[0])


def _deviation(graph: Editor, name: str) -> tuple[str, str, float] | None:
    """x, mean and eps, if `name` is `sqrt(var + eps)`."""
    root = graph.maker(name, "Sqrt", "Pow")
    if root is None or (root.op_type == "Pow" and graph.scalar_of(root, 1) != 0.5):
        return None
    return _variance(graph, root.input[0])


def _variance(graph: Editor, name: str) -> tuple[str, str, float] | None:
    """x, mean and eps, if `name` is `mean((x - mean)^2) + eps`."""
    total = graph.maker(name, "Add")
    if total is None:
        return None
    for index in (0, 1):
        eps = graph.constant_of(total, index)
        squares = _mean_of(graph, total.input[1 - index])
        # Runtimes have no such norm of float64.
        if eps is None or eps.size != 1 or eps.dtype != np.float32 or squares is None:
            continue
        square = graph.maker(squares, "Mul", "Pow")
        if square is None:
            continue
        if square.op_type == "Mul":
            is_square = square.input[0] == square.input[1]
        else:
            is_square = graph.scalar_of(square, 1) == 2.0
        difference = graph.maker(square.input[0], "Sub")
        if not is_square or difference is None:
            continue
        x, mean = difference.input
        if _mean_of(graph, mean) == x:
            return x, mean, float(eps.item())
    return None


def _mean_of(graph: Editor, name: str) -> str | None:
    """x, if `name` is its mean over height and width, kept as axes of length 1."""
    node = graph.maker(name, "GlobalAveragePool", "ReduceMean")
    if node is None or len(graph.shapes.get(node.input[0], ())) != 4:
        return None
    if node.op_type == "ReduceMean":
        given = attributes(node)
        axes = given.get("axes")
        axes = graph.constant_of(node, 1) if axes is None else axes
        if (
            axes is None
            or sorted(int(a) % 4 for a in axes) != [2, 3]
            or not given.get("keepdims", 1)
        ):
            return None
    return str(node.input[0])


def _norm(graph: Editor, x: str, eps: float, *, near: str) -> str:
    channels = graph.shapes[x][1]
    ones = graph.constant(np.ones(channels, np.float32), near=near)
    zeros = graph.constant(np.zeros(channels, np.float32), near=near)
    return graph.add("InstanceNormalization", [x, ones, zeros], near=near, epsilon=eps)
