"""A Fourier transform along an axis is a product by a stored matrix.

OpenVINO (2026.4) overlooks the axis that is an input, as it is since opset 20, and counts one from
the end wrongly before: it transforms along another one and says nothing. Of real numbers it gives a
one-sided transform an axis too many. Axes of feature maps are short, so that a product is no large
part of the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeanim.graph.edit import AnyArray, Editor, attributes, rewrite_each
from edgeanim.graph.rewrites import constants

_LENGTH, _AXIS = 1, 2
_AXIS_IS_INPUT = 20
"""Since this opset."""


def rewrite(model: Any) -> int:
    """Returns the number of transforms replaced: all of known shapes, lengths and axes, but for
    inverse ones of one side that has more waves, or fewer, than their length asks for."""
    if not any(node.op_type == "DFT" for node in model.graph.node):
        return 0
    constants.rewrite(model)
    return rewrite_each(model, _multiply)


def product_of(graph: Editor, node: Any) -> tuple[int, AnyArray] | None:
    """The axis of a DFT, from 0, and what multiplies the numbers along it, float32 [before, parts,
    after, parts]; `None` where `rewrite` leaves it."""
    shape, axis = graph.shapes.get(node.input[0]), _axis_of(graph, node)
    given = attributes(node)
    inverse, one_sided = (bool(given.get(name, 0)) for name in ("inverse", "onesided"))
    if shape is None or axis is None or not graph.is_known(node, _LENGTH):
        return None
    length = int(graph.scalar_of(node, _LENGTH) or 0)
    if inverse and one_sided:
        matrix = _matrix_of_side(length or 2 * (shape[axis] - 1))
        return (axis, matrix) if len(matrix) == shape[axis] else None
    length = length or shape[axis]
    kept = length // 2 + 1 if one_sided else length
    return axis, _matrix(shape[axis], length, kept, inverse=inverse)[:, : shape[-1]]


def order_of(rank: int, axis: int) -> list[int]:
    """The axes of so many, with the one that is transformed beside the last, the parts of a number,
    as the product takes them."""
    return [*(i for i in range(rank - 1) if i != axis), axis, rank - 1]


def _multiply(graph: Editor, node: Any) -> bool:
    if node.op_type != "DFT" or (found := product_of(graph, node)) is None:
        return False
    axis, matrix = found
    before, parts, *after = matrix.shape
    shape = graph.shapes[node.input[0]]
    order = order_of(len(shape), axis)
    others = [shape[i] for i in order[:-2]]
    near = node.output[0]
    x = graph.add("Transpose", [node.input[0]], near=near, perm=order)
    x = graph.reshaped(x, (*others, before * parts), near=near)
    stored = graph.constant(matrix.reshape(before * parts, -1), near=near)
    x = graph.reshaped(graph.add("MatMul", [x, stored], near=near), (*others, *after), near=near)
    graph.replace(node, graph.add("Transpose", [x], near=near, perm=np.argsort(order).tolist()))
    return True


def _axis_of(graph: Editor, node: Any) -> int | None:
    """The axis of a DFT, from 0; `None` where that or the shape is computed."""
    shape = graph.shapes.get(node.input[0], ())
    if not shape:
        return None
    if graph.opset < _AXIS_IS_INPUT:
        return int(attributes(node).get("axis", 1)) % len(shape)
    axis = graph.scalar_of(node, _AXIS) if graph.has_input(node, _AXIS) else -2.0
    return None if axis is None else int(axis) % len(shape)


def _matrix(before: int, length: int, kept: int, *, inverse: bool) -> AnyArray:
    """What multiplies real and imaginary parts, float32 [before, 2, kept, 2]: what is beyond the
    `length` of the transform is cut off, what is missing there is zero."""
    places, waves = np.arange(before)[:, None], np.arange(kept)
    turned = np.exp((2j if inverse else -2j) * np.pi * (places * waves % length) / length)
    turned = np.where(places < length, turned, 0) / (length if inverse else 1)
    real, imaginary = turned.real, turned.imag
    by_part = [np.stack(pair, -1) for pair in ((real, imaginary), (-imaginary, real))]
    return np.stack(by_part, 1).astype(np.float32)


def _matrix_of_side(length: int) -> AnyArray:
    """What makes real numbers of one side of their spectrum, float32 [length // 2 + 1, 2, length,
    1]: but for the mean and, of an even length, the fastest one, each wave also stands for its
    conjugate on the other side."""
    waves = np.arange(length // 2 + 1)
    stands_for = np.where((waves == 0) | (2 * waves == length), 1, 2).astype(np.float32)
    real = _matrix(len(waves), length, length, inverse=True)[..., :1]
    return real * stands_for[:, None, None, None]
