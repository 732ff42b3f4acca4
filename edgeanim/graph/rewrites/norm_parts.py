"""The parts that a written-out norm is made of, whatever axes it is over.

The variance is the mean of squared differences. A part is recognised by what it is made from, down
to the tensor that is normed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes

Found = tuple[str, str, float]
"""x, its mean, and eps."""


def between_reshapes(graph: Editor, node: Any) -> tuple[Any, Any] | None:
    """The instance norm whose result alone the reshape `node` has, and the reshape before it."""
    if node.op_type != "Reshape":
        return None
    norm = graph.maker(node.input[0], "InstanceNormalization")
    before = graph.maker(norm.input[0], "Reshape") if norm is not None else None
    if norm is None or before is None or graph.only_user(norm.output[0]) is None:
        return None
    return norm, before


@dataclass(frozen=True)
class NormParts:
    """Recognises what is made from means over some axes in `graph`: those that `axes_of` gives for
    a number of axes, ascending, or `None` where there is no such norm."""

    graph: Editor
    axes_of: Callable[[int], list[int] | None]

    def normed(self, node: Any) -> tuple[str, float] | None:
        """x and eps, if `node` is `(x - mean) / std` or `(x - mean) * (1 / std)`."""
        if node.op_type == "Div":
            pairs = [(node.input[0], self.deviation(node.input[1]))]
        elif node.op_type == "Mul":
            a, b = node.input
            pairs = [(a, self.inverse_deviation(b)), (b, self.inverse_deviation(a))]
        else:
            return None
        for centred, found in pairs:
            if found is None:
                continue
            x, mean, eps = found
            difference = self.graph.maker(centred, "Sub")
            if difference is None or difference.input[0] != x:
                continue
            # A variance may have a mean of its own.
            if difference.input[1] == mean or self.mean_of(difference.input[1]) == x:
                return x, eps
        return None

    def scale(self, name: str) -> tuple[str, str, float, str | None] | None:
        """x, mean, eps and gamma, if `name` is `gamma / std` (gamma `None` if it is `1 / std`)."""
        plain = self.inverse_deviation(name)
        if plain is not None:
            return (*plain, None)
        product = self.graph.maker(name, "Mul")
        if product is not None:
            for inverse, gamma in (product.input, reversed(list(product.input))):
                found = self.inverse_deviation(inverse)
                if found is not None:
                    return (*found, gamma)
        quotient = self.graph.maker(name, "Div")
        if quotient is not None:
            found = self.deviation(quotient.input[1])
            if found is not None:
                return (*found, quotient.input[0])
        return None

    def inverse_deviation(self, name: str) -> Found | None:
        """x, mean and eps, if `name` is `1 / sqrt(var + eps)`."""
        node = self.graph.maker(name, "Reciprocal", "Div", "Pow")
        if node is None:
            return None
        if node.op_type == "Pow":
            return self.variance(node.input[0]) if self.graph.scalar_of(node, 1) == -0.5 else None
        if node.op_type == "Div":
            return self.deviation(node.input[1]) if self.graph.scalar_of(node, 0) == 1.0 else None
        return self.deviation(node.input[0])

    def deviation(self, name: str) -> Found | None:
        """x, mean and eps, if `name` is `sqrt(var + eps)`."""
        root = self.graph.maker(name, "Sqrt", "Pow")
        if root is None or (root.op_type == "Pow" and self.graph.scalar_of(root, 1) != 0.5):
            return None
        return self.variance(root.input[0])

    def variance(self, name: str) -> Found | None:
        """x, mean and eps, if `name` is `mean((x - mean)^2) + eps`."""
        total = self.graph.maker(name, "Add")
        if total is None:
            return None
        for index in (0, 1):
            eps = self.graph.constant_of(total, index)
            squares = self.mean_of(total.input[1 - index])
            # Runtimes have no such norm of float64.
            if eps is None or eps.size != 1 or eps.dtype != np.float32 or squares is None:
                continue
            square = self.graph.maker(squares)
            if square is None or not self.graph.is_square(square):
                continue
            difference = self.graph.maker(square.input[0], "Sub")
            if difference is None:
                continue
            x, mean = difference.input
            if self.mean_of(mean) == x:
                return x, mean, float(eps.item())
        return None

    def mean_of(self, name: str) -> str | None:
        """x, if `name` is its mean over the axes, kept with length 1."""
        node = self.graph.maker(name, "GlobalAveragePool", "ReduceMean")
        rank = 0 if node is None else len(self.graph.shapes.get(node.input[0], ()))
        if node is None or not rank:
            return None
        over = list(range(2, rank))
        if node.op_type == "ReduceMean":
            axes = self.graph.setting_of(node, "axes", 1)
            if axes is None or not attributes(node).get("keepdims", 1):
                return None
            over = sorted(int(axis) % rank for axis in axes)
        return str(node.input[0]) if over == self.axes_of(rank) else None
