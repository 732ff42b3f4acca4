"""Inverses of small matrices in ops that ONNX has, for PyTorch's exporter.

First-order motion inverts the 2x2 of each key point, a thin-plate spline the matrix of its points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_LAST = 2**31 - 1
_ALL = slice(0, _LAST)


def translations() -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """What `torch.onnx.export` takes as `custom_translation_table`."""
    import torch

    aten = torch.ops.aten
    return {op.default: _inverse for op in (aten.inverse, aten.linalg_inv)}


def _inverse(matrices: Any) -> Any:
    """The inverses of `matrices` [..., n, n]; a singular one gives numbers that are not finite."""
    from onnxscript import opset18 as op

    size = matrices.shape[-1]
    return _of_two(op, matrices) if size == 2 else _eliminated(op, matrices, size)


def _of_two(op: Any, m: Any) -> Any:
    """The inverses of [..., 2, 2] by Cramer's rule."""
    (a, b), (c, d) = ([_part(op, m, i, j) for j in range(2)] for i in range(2))
    adjugate = op.Concat(
        op.Concat(d, op.Neg(b), axis=-1), op.Concat(op.Neg(c), a, axis=-1), axis=-2
    )
    return op.Div(adjugate, op.Sub(op.Mul(a, d), op.Mul(b, c)))


def _eliminated(op: Any, m: Any, size: int) -> Any:
    """The inverses of [..., size, size] by Gauss and Jordan's elimination."""
    identity = op.Expand(_constant(op, np.eye(size, dtype=np.float32)), op.Shape(m))
    m = op.Concat(m, identity, axis=-1)
    numbers = np.arange(size)[:, None]
    for k in range(size):
        if k + 1 < size:
            m = _largest_first(op, m, k, numbers)
        pivot = op.Div(_part(op, m, k, _ALL), _part(op, m, k, k))
        others = op.Sub(m, op.Mul(_part(op, m, _ALL, k), pivot))
        m = op.Where(_constant(op, numbers == k), pivot, others)
    return _part(op, m, _ALL, slice(size, _LAST))


def _largest_first(op: Any, m: Any, k: int, numbers: Any) -> Any:
    """`m` [..., n, 2n] in which row `k` has changed places with the one from there on that is
    largest in column `k`: the matrix of a spline has hardly anything on its diagonal."""
    place = op.ArgMax(op.Abs(_part(op, m, slice(k, _LAST), k)), axis=-2)
    is_largest = op.Equal(op.Add(place, _constant(op, np.array(k))), _constant(op, numbers))
    alone = op.Mul(op.Cast(is_largest, to=1), m)
    largest = op.ReduceSum(alone, _constant(op, np.array([-2])), keepdims=1)
    m = op.Where(is_largest, _part(op, m, k, _ALL), m)
    return op.Where(_constant(op, numbers == k), largest, m)


def _part(op: Any, m: Any, rows: int | slice, columns: int | slice) -> Any:
    """Some rows and columns of [..., n, m], with both axes kept."""
    spans = [s if isinstance(s, slice) else slice(s, s + 1) for s in (rows, columns)]
    starts, ends = [s.start for s in spans], [s.stop for s in spans]
    return op.Slice(m, *(_constant(op, np.array(values)) for values in (starts, ends, [-2, -1])))


def _constant(op: Any, array: Any) -> Any:
    from onnx.numpy_helper import from_array

    return op.Constant(value=from_array(array))
