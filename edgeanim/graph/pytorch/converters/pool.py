"""Pooling over feature maps [N, C, H, W], and over others of one axis or three."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from edgeanim.graph.pytorch.converters.builder import Builder, Converter
from edgeanim.graph.pytorch.converters.convolution import split_pads, torch_pads

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Any]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def max_pool(b: Builder, node: Any) -> fx.Node:
    """Unequal pads become a pad with minus infinity."""
    x, settings, begins, ends = _window(b, node)
    rank = len(begins)
    dilation = tuple(b.attrs(node).get("dilations", [1] * rank))
    if any(node.output[1:]):
        raise b.refuse(node, "the positions of the maxima are asked for")
    if _torch_pads(settings, begins, ends):
        settings["padding"] = tuple(begins)
    else:
        x = b.call(F.pad, x, torch_pads(begins, ends), "constant", float("-inf"))
    return b.call(_MAX[rank], x, dilation=dilation, **settings)


def average_pool(b: Builder, node: Any) -> fx.Node:
    """Where torch has no form for pads that do not count in the mean, they count at first, and each
    mean is then taken by as much more as there are fewer numbers in its window."""
    x, settings, begins, ends = _window(b, node)
    given = b.attrs(node)
    counts = bool(given.get("count_include_pad", 0))
    if any(step != 1 for step in given.get("dilations", ())):
        raise b.refuse(node, "it is dilated")
    if _torch_pads(settings, begins, ends):
        settings["padding"] = tuple(begins)
        return b.call(_AVERAGE[len(begins)], x, count_include_pad=counts, **settings)
    function, pads = _AVERAGE[len(begins)], torch_pads(begins, ends)
    means = b.call(function, b.call(F.pad, x, pads), **settings)
    if counts:
        return means
    present = torch.ones(1, 1, *b.shape(node.input[0], node)[2:])
    shares = function(F.pad(present, pads), **settings)
    return b.call(operator.mul, means, b.buffer(node, 1 / shares))


def global_average_pool(b: Builder, node: Any) -> fx.Node:
    """The mean over all axes but batch and channels."""
    axes = tuple(range(2, len(b.shape(node.input[0], node))))
    return b.call(torch.mean, b.value(node.input[0]), axes, True)


def global_max_pool(b: Builder, node: Any) -> fx.Node:
    """The maximum over all axes but batch and channels."""
    axes = tuple(range(2, len(b.shape(node.input[0], node))))
    return b.call(torch.amax, b.value(node.input[0]), axes, True)


def _torch_pads(settings: dict[str, Any], begins: list[int], ends: list[int]) -> bool:
    """Whether torch pads a pool so: both sides alike, by half a window at most."""
    kernel = settings["kernel_size"]
    return begins == ends and all(2 * p <= k for p, k in zip(begins, kernel, strict=True))


def _window(b: Builder, node: Any) -> tuple[fx.Node, dict[str, Any], list[int], list[int]]:
    given = b.attrs(node)
    kernel = tuple(given["kernel_shape"])
    if len(kernel) not in _MAX:
        raise b.refuse(node, f"it has {len(kernel)} dimensions")
    if given.get("auto_pad", "NOTSET") != "NOTSET":
        raise b.refuse(node, f"auto_pad={given['auto_pad']} could not be spelt out")
    begins, ends = split_pads(list(given.get("pads", [0] * (2 * len(kernel)))))
    settings = {
        "kernel_size": kernel,
        "stride": tuple(given.get("strides", [1] * len(kernel))),
        "ceil_mode": bool(given.get("ceil_mode", 0)),
    }
    return b.value(node.input[0]), settings, begins, ends


CONVERTERS: dict[str, Converter] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "MaxPool": max_pool,
}
