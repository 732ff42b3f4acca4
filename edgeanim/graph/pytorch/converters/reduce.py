"""Reductions over axes, which are an attribute in old opsets and an input in recent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from edgeanim.graph.pytorch.converters.builder import MOST_AXES, Builder, Converter, merged

_Function = Callable[..., Any]


def _square(x: torch.Tensor) -> torch.Tensor:
    """A product, since TFLite has powers of few axes only."""
    return x * x


def _root(x: torch.Tensor) -> torch.Tensor:
    """Its gradient at zero is zero, as that of PyTorch's norms is: pruned nets are trained."""
    return torch.sqrt(torch.clamp(x, min=torch.finfo(torch.float32).tiny))


_REDUCTIONS: dict[str, tuple[_Function | None, _Function, _Function | None]] = {
    "ReduceL1": (torch.abs, torch.sum, None),
    "ReduceL2": (_square, torch.sum, _root),
    "ReduceLogSum": (None, torch.sum, torch.log),
    "ReduceLogSumExp": (None, torch.logsumexp, None),
    "ReduceMax": (None, torch.amax, None),
    "ReduceMean": (None, torch.mean, None),
    "ReduceMin": (None, torch.amin, None),
    "ReduceSum": (None, torch.sum, None),
    "ReduceSumSquare": (_square, torch.sum, None),
}
"""What each does to every number first, how it joins them, and what it does to the result. Where it
is told to reduce no axes it does the first and the last."""


def _axes(b: Builder, node: Any) -> tuple[int, ...]:
    """Ascending, since exporters write a picture's as -1 and -2, too."""
    rank = len(b.shape(node.input[0], node))
    axes = b.setting(node, "axes", 1)
    if not axes:
        return () if b.attrs(node).get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(int(axis) % rank for axis in axes))


def _reduction(first: _Function | None, function: _Function, last: _Function | None) -> Converter:
    def convert(b: Builder, node: Any) -> fx.Node:
        axes, x = _axes(b, node), b.value(node.input[0])
        x = b.call(first, x) if first else x
        if axes and len(b.shape(node.input[0], node)) > MOST_AXES:
            x = _merged(b, node, x, function, axes)
        elif axes:
            x = b.call(function, x, axes, bool(b.attrs(node).get("keepdims", 1)))
        return b.call(last, x) if last else x

    return convert


def _merged(
    b: Builder, node: Any, x: fx.Node, function: _Function, axes: tuple[int, ...]
) -> fx.Node:
    """The reduction of a value of which neighbouring axes are one, as they go or stay together."""
    shape = b.shape(node.input[0], node)
    left = merged(shape, [axis in axes for axis in range(len(shape))])
    x = b.call(torch.reshape, x, tuple(size for _, size in left))
    x = b.call(function, x, tuple(axis for axis, (goes, _) in enumerate(left) if goes), False)
    return b.call(torch.reshape, x, b.shape(node.output[0], node))


def cumulative_sum(b: Builder, node: Any) -> fx.Node:
    """Of what lies up to each place along an axis, or from it on."""
    given = b.attrs(node)
    if given.get("exclusive", 0):
        raise b.refuse(node, "it leaves out the place itself")
    axis, x = int(b.constant(node, 1, "axis").item()), b.value(node.input[0])
    if not given.get("reverse", 0):
        return b.call(torch.cumsum, x, axis)
    return b.call(torch.flip, b.call(torch.cumsum, b.call(torch.flip, x, [axis]), axis), [axis])


def _position(function: _Function) -> Converter:
    """Where along one axis the largest or smallest value is."""

    def convert(b: Builder, node: Any) -> fx.Node:
        given = b.attrs(node)
        if given.get("select_last_index", 0):
            raise b.refuse(node, "the last of equal values is asked for")
        axis, keep = given.get("axis", 0), bool(given.get("keepdims", 1))
        return b.call(function, b.value(node.input[0]), axis, keep)

    return convert


CONVERTERS: dict[str, Converter] = {
    **{op: _reduction(*functions) for op, functions in _REDUCTIONS.items()},
    "ArgMax": _position(torch.argmax),
    "ArgMin": _position(torch.argmin),
    "CumSum": cumulative_sum,
}
