"""Ops that look values up by their places, or put them there."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from edgeanim.graph.edit import AnyArray
from edgeanim.graph.pytorch.converters.builder import Builder, Converter
from edgeanim.graph.pytorch.converters.shape import to_shape_of


def gather(b: Builder, node: Any) -> fx.Node:
    """One index selects; any other number of them gathers, their axes in place of the one that they
    look up. Constant indices may be negative."""
    axis = b.attrs(node).get("axis", 0)
    x, indices = b.value(node.input[0]), b.onnx.constant_of(node, 1)
    whole = b.shape(node.input[0], node)
    size = whole[axis]
    if indices is not None and indices.ndim == 0:
        return b.call(torch.select, x, axis, int(indices) % size)
    if indices is None:
        places = b.call(torch.reshape, b.value(node.input[1]), (-1,))
        if axis % len(whole) == 0:
            rows = b.call(torch.reshape, x, (size, int(np.prod(whole[1:]))))
            return to_shape_of(b, node, _looked_up(b, rows, places, constant=False))
    else:
        places = b.buffer(node, torch.from_numpy(indices.astype(np.int64).reshape(-1) % size))
    y = b.call(torch.index_select, x, axis, places)
    return y if len(b.shape(node.input[1], node)) == 1 else to_shape_of(b, node, y)


def gather_elements(b: Builder, node: Any) -> fx.Node:
    """An index that was repeated over the rows of a matrix, as in a lowered warp, looks up columns.

    That is the one gather which TFLite runs without a check of every index.
    """
    axis = b.attrs(node).get("axis", 0)
    x, indices = b.value(node.input[0]), b.onnx.constant_of(node, 1)
    whole, shape = b.ends(node)
    if indices is not None:
        places = torch.from_numpy(indices.astype(np.int64) % whole[axis])
        return b.call(torch.gather, x, axis, b.buffer(node, places))
    repeated = b.onnx.maker(node.input[1], "Expand")
    if (
        repeated is None
        or (len(whole), axis % len(whole), shape[0]) != (2, 1, whole[0])
        or b.shape(repeated.input[0], node) != (1, shape[1])
    ):
        index = b.call(torch.Tensor.to, b.value(node.input[1]), torch.int64)
        return b.call(torch.gather, x, axis, index)
    index = b.call(torch.reshape, b.value(repeated.input[0]), (-1,))
    columns = b.call(F.embedding, index, b.call(torch.transpose, x, 0, 1))
    return b.call(torch.transpose, columns, 0, 1)


def gather_nd(b: Builder, node: Any) -> fx.Node:
    """Looks up rows by their places along the first axes, as indexing by tensors is exported."""
    if b.attrs(node).get("batch_dims", 0):
        raise b.refuse(node, "it looks up in each of a batch")
    whole, shape = b.shape(node.input[0], node), b.shape(node.input[1], node)
    depth = shape[-1]
    places = b.onnx.constant_of(node, 1)
    if places is not None:
        at = b.buffer(node, torch.from_numpy(_row_numbers(places, whole)))
    else:
        at = _rows_at(b, node, whole, depth)
    rows = (int(np.prod(whole[:depth])), int(np.prod(whole[depth:])))
    x = b.call(torch.reshape, b.value(node.input[0]), rows)
    return to_shape_of(b, node, _looked_up(b, x, at, constant=places is not None))


def _rows_at(b: Builder, node: Any, whole: Sequence[int], depth: int) -> fx.Node:
    """Computed places [..., depth] along the first axes of `whole` as numbers of its rows, flat."""
    at = b.call(torch.reshape, b.value(node.input[1]), (-1, depth))
    columns = [b.call(torch.select, at, 1, i) for i in range(depth)]
    at = columns[0]
    for column, size in zip(columns[1:], whole[1:], strict=False):
        at = b.call(operator.add, b.call(operator.mul, at, size), column)
    return at


def _looked_up(b: Builder, rows: fx.Node, at: fx.Node, *, constant: bool) -> fx.Node:
    """These rows of a matrix."""
    if constant:
        return b.call(torch.index_select, rows, 0, at)
    # TFLite checks computed places of any other look-up, and has NaN for those outside.
    return b.call(F.embedding, at, rows)


def _row_numbers(places: AnyArray, whole: tuple[int, ...]) -> AnyArray:
    """Constant places [..., depth] along the first axes of `whole` as numbers of its rows, flat."""
    depth = places.shape[-1]
    columns = places.reshape(-1, depth).astype(np.int64).T
    at = [column % size for column, size in zip(columns, whole, strict=False)]
    return np.ravel_multi_index(at, whole[:depth])


def scatter_nd(b: Builder, node: Any) -> fx.Node:
    """Values put in constant places, as an assignment to a slice is exported: a look-up in both; or
    added to what lies in any, which are the numbers of rows."""
    if _is_sum(b, node):
        whole, (*_, depth) = b.shape(node.input[0], node), b.shape(node.input[1], node)
        at = _rows_at(b, node, whole, depth)
        x, updates = (
            b.call(torch.reshape, b.value(node.input[i]), (-1, int(np.prod(whole[depth:]))))
            for i in (0, 2)
        )
        return to_shape_of(b, node, b.call(torch.index_add, x, 0, at, updates))
    places = _places_to_put(b, node)
    whole, depth = b.shape(node.input[0], node), places.shape[-1]
    rows, put = int(np.prod(whole[:depth])), int(np.prod(places.shape[:-1]))
    taken = np.arange(rows)
    taken[_row_numbers(places, whole)] = rows + np.arange(put)
    y = _taken_from_both(b, node, taken, whole[depth:])
    return y if depth == 1 else b.call(torch.reshape, y, tuple(whole))


def scatter_elements(b: Builder, node: Any) -> fx.Node:
    """Values put in constant places along one axis: a look-up in both; or added to what lies in
    any, as forward warps do."""
    if _is_sum(b, node):
        axis = b.attrs(node).get("axis", 0)
        x, at, updates = (b.value(name) for name in node.input)
        at = b.call(torch.Tensor.to, at, torch.int64)
        return b.call(torch.scatter_add, x, axis, at, updates)
    places, whole = _places_to_put(b, node), b.shape(node.input[0], node)
    axis = b.attrs(node).get("axis", 0) % len(whole)
    taken = np.arange(np.prod(whole)).reshape(whole)
    at = np.indices(places.shape)
    at[axis] = places % whole[axis]
    taken[tuple(at)] = taken.size + np.arange(places.size).reshape(places.shape)
    y = _taken_from_both(b, node, taken.reshape(-1), ())
    return b.call(torch.reshape, y, tuple(whole))


def _is_sum(b: Builder, node: Any) -> bool:
    return bool(b.attrs(node).get("reduction", "none") == "add")


def _places_to_put(b: Builder, node: Any) -> AnyArray:
    """The constant places of a scatter, which are written to once each."""
    if b.attrs(node).get("reduction", "none") != "none":
        raise b.refuse(node, "it reduces what falls on one place")
    return b.constant(node, 1, "place").astype(np.int64)


def _taken_from_both(b: Builder, node: Any, taken: AnyArray, row: tuple[int, ...]) -> fx.Node:
    """Rows of this shape of what is written to, and behind them of what is written, in the order
    `taken`."""
    parts = [b.call(torch.reshape, b.value(node.input[i]), (-1, *row)) for i in (0, 2)]
    both = b.call(torch.cat, parts, 0)
    return b.call(torch.index_select, both, 0, b.buffer(node, torch.from_numpy(taken)))


def one_hot(b: Builder, node: Any) -> fx.Node:
    """One value at the places, another elsewhere, along a new axis; nowhere for places outside."""
    depth = int(b.constant(node, 1, "depth").item())
    off, on = b.constant(node, 2, "pair of values").tolist()
    rank = len(b.shape(node.output[0], node))
    axis = b.attrs(node).get("axis", -1) % rank
    shape = [depth if i == axis else 1 for i in range(rank)]
    counts = b.buffer(node, torch.arange(depth).reshape(shape))
    places = b.call(torch.unsqueeze, b.value(node.input[0]), axis)
    from_end = b.call(torch.eq, b.call(operator.add, places, depth), counts)
    found = b.call(torch.logical_or, b.call(torch.eq, places, counts), from_end)
    return b.call(torch.where, found, on, off)


CONVERTERS: dict[str, Converter] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
}
