"""A kernel that is stored and scaled by a style becomes a stored one between two scales.

Scaling a kernel by input or by output channel is the same as scaling what the convolution takes or
gives. As StyleGAN writes it, the runtime has another kernel for each frame, which it cannot lay out
beforehand and no quantiser takes. The sum of the kernel's squares, by which StyleGAN demodulates,
is then a small product with stored sums of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each

_SAME_ORDER = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
"""What gives the values that it takes in their order."""


def rewrite(model: Any) -> int:
    """Returns the number of kernels that are stored now."""
    count = rewrite_each(model, _outside)
    if count:
        rewrite_each(model, _squares)
    return count


@dataclass(frozen=True)
class _Factor:
    """A computed value with one number for each place on an axis of what it is multiplied with, or
    one for all, by which it is scaled (`Mul`) or divided (`Div`)."""

    name: str
    axis: int
    op: str


@dataclass
class _Scaled:
    """A tensor as the product of a `stored` one of its shape and of `factors`."""

    stored: AnyArray
    factors: list[_Factor] = field(default_factory=list)


def _outside(graph: Editor, node: Any) -> bool:
    """Scale what a convolution takes and gives instead of its kernel."""
    if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] in graph.constants:
        return False
    kernel, out = (graph.shapes.get(name, ()) for name in (node.input[1], node.output[0]))
    if len(kernel) != 4 or len(out) != 4:
        return False
    is_grouped = attributes(node).get("group", 1) != 1
    if is_grouped and node.op_type == "ConvTranspose":
        return False
    gives, takes = (0, 1) if node.op_type == "Conv" else (1, 0)
    scaled = _scaled(graph, node.input[1], (gives,) if is_grouped else (gives, takes))
    if scaled is None:
        return False
    near, given = node.input[1], node.output[0]
    node.input[1] = graph.constant(scaled.stored, near=near)
    behind = [factor for factor in scaled.factors if factor.axis == gives]
    for factor in scaled.factors:
        if factor.axis == takes:
            node.input[0] = _by_channel(graph, node.input[0], factor, near=given)
    if not behind:
        graph.reindex(node)
        return True
    bias = node.input[2] if len(node.input) > 2 else ""
    del node.input[2:]
    node.output[0] = x = graph.fresh(f"{given}/unscaled")
    graph.reindex(node)
    for factor in behind[:-1]:
        x = _by_channel(graph, x, factor, near=given)
    if not bias:
        _by_channel(graph, x, behind[-1], near=given, output=given)
        return True
    x = _by_channel(graph, x, behind[-1], near=given)
    bias = graph.reshaped(bias, (1, -1, 1, 1), near=given)
    graph.add("Add", [x, bias], near=given, output=given)
    return True


def _by_channel(
    graph: Editor, x: str, factor: _Factor, *, near: str, output: str | None = None
) -> str:
    by_channel = graph.reshaped(factor.name, (1, -1, 1, 1), near=near)
    return graph.add(factor.op, [x, by_channel], near=near, output=output)


def _squares(graph: Editor, node: Any) -> bool:
    """`sum(square(stored * factor))` over the factor's axis and others as a product of matrices."""
    square = graph.maker(node.input[0]) if node.op_type == "ReduceSum" else None
    reduced = graph.constant_of(node, 1) if square is not None else None
    if square is None or reduced is None or not graph.is_square(square):
        return False
    shape, out = graph.shapes.get(square.input[0], ()), graph.shapes.get(node.output[0])
    axes = {int(axis) % len(shape) for axis in reduced} if shape else set()
    kept = [axis for axis, size in enumerate(shape) if axis not in axes and size != 1]
    scaled = _scaled(graph, square.input[0], sorted(axes))
    if scaled is None or out is None or len(kept) > 1 or len(scaled.factors) != 1:
        return False
    (factor,) = scaled.factors
    rest = tuple(axis for axis in axes if axis != factor.axis)
    sums = (scaled.stored.astype(np.float64) ** 2).sum(rest, keepdims=True)
    order = [factor.axis, *kept, *(i for i in range(len(shape)) if i not in (factor.axis, *kept))]
    table = sums.transpose(order).reshape(shape[factor.axis], -1)
    if prod(graph.shapes[factor.name]) == 1:  # one factor for all places on its axis
        table = table.sum(0, keepdims=True)
    near = node.output[0]
    row = graph.reshaped(factor.name, (1, -1), near=near)
    row = graph.add("Mul", [row, row], near=near)
    if factor.op == "Div":
        row = graph.add("Reciprocal", [row], near=near)
    stored = graph.constant(table.astype(np.float32), near=near)
    made = graph.add("MatMul", [row, stored], near=near)
    graph.replace(node, graph.reshaped(made, out, near=near))
    return True


def _scaled(graph: Editor, name: str, axes: Sequence[int]) -> _Scaled | None:
    """The tensor `name` as a stored one times factors, of which there are some and each lies along
    one of `axes`; `None` if it is none."""
    shape = graph.shapes.get(name, ())
    places = np.arange(prod(shape)).reshape(shape)  # where each value lies in the one looked at
    constant: AnyArray = np.ones(shape, np.float32)
    factors = []
    while name not in graph.constants:
        node = graph.maker(name)
        if node is None or not all(graph.shapes.get(each) for each in (name, node.input[0])):
            return None
        if node.op_type in _SAME_ORDER or _takes_the_only(graph, node):
            name = node.input[0]
        elif node.op_type == "Transpose":
            before = graph.shapes[node.input[0]]
            perm = attributes(node).get("perm", range(len(before))[::-1])
            places = np.arange(prod(before)).reshape(before).transpose(perm).ravel()[places]
            name = node.input[0]
        elif (pair := _pair(graph, node)) is not None:
            name, by = pair
            count = prod(graph.shapes[by])
            spread = np.arange(count).reshape(graph.shapes[by])
            each = np.broadcast_to(spread, graph.shapes[node.output[0]]).ravel()[places]
            if by in graph.constants:
                values = graph.constants[by].ravel()[each]
                constant = constant * values if node.op_type == "Mul" else constant / values
            else:
                axis = next((a for a in axes if _lies_along(each, a, count)), None)
                if axis is None:
                    return None
                factors.append(_Factor(by, axis, node.op_type))
        else:
            return None
    stored = graph.constants[name].ravel()[places] * constant
    return _Scaled(stored.astype(np.float32), factors[::-1]) if factors else None


def _takes_the_only(graph: Editor, node: Any) -> bool:
    """Whether a node picks the one place that there is on an axis, as `kernel[0]` does."""
    if node.op_type != "Gather" or graph.scalar_of(node, 1) not in (0, -1):
        return False
    return bool(graph.shapes[node.input[0]][attributes(node).get("axis", 0)] == 1)


def _pair(graph: Editor, node: Any) -> tuple[str, str] | None:
    """What a product or quotient scales, which is as large as it, and by what."""
    if node.op_type not in ("Mul", "Div"):
        return None
    size = prod(graph.shapes[node.output[0]])
    pairs = [tuple(node.input), tuple(reversed(node.input))][: 2 if node.op_type == "Mul" else 1]
    # Of two that are as large as each other, the stored one is the kernel.
    pairs.sort(key=lambda pair: pair[0] not in graph.constants)
    for large, by in pairs:
        shapes = [graph.shapes.get(name) for name in (large, by)]
        if None not in shapes and prod(shapes[0] or ()) == size:
            return large, by
    return None


def _lies_along(each: AnyArray, axis: int, count: int) -> bool:
    """Whether a factor of `count` numbers is in their order along `axis`, or one for all."""
    lines = np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1)
    in_order = np.arange(len(lines)) if count > 1 else np.zeros(len(lines), int)
    return count in (1, len(lines)) and bool((lines == in_order[:, None]).all())
