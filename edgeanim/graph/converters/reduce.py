"""Reductions over axes, which are an attribute in old opsets and an input in recent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from edgeanim.graph.converters.builder import MOST_AXES, Builder, Converter, merged

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceSum": torch.sum,
}


def _axes(b: Builder, node: Any) -> tuple[int, ...]:
    rank = len(b.shape(node.input[0], node))
    axes = b.setting(node, "axes", 1)
    if not axes:
        return () if b.attrs(node).get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(axis % rank for axis in axes)


def _reduction(function: Callable[..., Any]) -> Converter:
    def convert(b: Builder, node: Any) -> fx.Node:
        axes, x = _axes(b, node), b.value(node.input[0])
        if not axes:
            return x
        if len(b.shape(node.input[0], node)) > MOST_AXES:
            return _merged(b, node, function, axes)
        return b.call(function, x, axes, bool(b.attrs(node).get("keepdims", 1)))

    return convert


def _merged(b: Builder, node: Any, function: Callable[..., Any], axes: tuple[int, ...]) -> fx.Node:
    """The reduction of a value of which neighbouring axes are one, as they go or stay together."""
    shape = b.shape(node.input[0], node)
    left = merged(shape, [axis in axes for axis in range(len(shape))])
    x = b.call(torch.reshape, b.value(node.input[0]), tuple(size for _, size in left))
    x = b.call(function, x, tuple(axis for axis, (goes, _) in enumerate(left) if goes), False)
    return b.call(torch.reshape, x, b.shape(node.output[0], node))


def l2(b: Builder, node: Any) -> fx.Node:
    """sqrt(sum(x^2))."""
    keep = bool(b.attrs(node).get("keepdims", 1))
    squares = b.call(torch.square, b.value(node.input[0]))
    return b.call(torch.sqrt, b.call(torch.sum, squares, _axes(b, node), keep))


def _position(function: Callable[..., Any]) -> Converter:
    """Where along one axis the largest or smallest value is."""

    def convert(b: Builder, node: Any) -> fx.Node:
        given = b.attrs(node)
        if given.get("select_last_index", 0):
            raise b.refuse(node, "the last of equal values is asked for")
        axis, keep = given.get("axis", 0), bool(given.get("keepdims", 1))
        return b.call(function, b.value(node.input[0]), axis, keep)

    return convert


CONVERTERS: dict[str, Converter] = {
    **{op: _reduction(function) for op, function in _REDUCTIONS.items()},
    "ArgMax": _position(torch.argmax),
    "ArgMin": _position(torch.argmin),
    "ReduceL2": l2,
}
