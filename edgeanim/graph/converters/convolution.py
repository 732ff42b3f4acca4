"""Conv and ConvTranspose as `torch.nn` modules, of one to three dimensions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.converters.builder import Builder, Converter, tensor

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_CONV_FUNCTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSE = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def split_pads(pads: list[int]) -> tuple[list[int], list[int]]:
    """ONNX's pads (all begins, then all ends) as begins and ends."""
    half = len(pads) // 2
    return pads[:half], pads[half:]


def torch_pads(begins: list[int], ends: list[int]) -> list[int]:
    """The same for `F.pad`: pairs, the last axis first."""
    pairs = list(zip(begins, ends, strict=True))
    return [side for pair in reversed(pairs) for side in pair]


def conv(b: Builder, node: Any) -> fx.Node:
    """Unequal pads become a pad before the convolution."""
    given = b.attrs(node)
    if given.get("auto_pad", "NOTSET") != "NOTSET":
        raise b.refuse(node, f"auto_pad={given['auto_pad']} could not be spelt out")
    rank = len(b.shape(node.input[0], node)) - 2
    if rank not in _CONV:
        raise b.refuse(node, f"it has {rank} dimensions")
    settings: dict[str, Any] = {
        "stride": tuple(given.get("strides", [1] * rank)),
        "dilation": tuple(given.get("dilations", [1] * rank)),
        "groups": given.get("group", 1),
    }
    x = b.value(node.input[0])
    begins, ends = split_pads(list(given.get("pads", [0] * (2 * rank))))
    if begins == ends:
        settings["padding"] = tuple(begins)
    else:
        x = b.call(F.pad, x, torch_pads(begins, ends))
    weight = b.onnx.constant_of(node, 1)
    bias = b.onnx.constant_of(node, 2)
    if weight is None or (b.present(node, 2) and bias is None):
        inputs = [b.value(name) for name in node.input[1:] if name]
        return b.call(_CONV_FUNCTION[rank], x, *inputs, **settings)
    module = _CONV[rank](
        weight.shape[1] * settings["groups"],
        weight.shape[0],
        tuple(weight.shape[2:]),
        bias=bias is not None,
        **settings,
    )
    _load(module, weight, bias)
    return b.module(node, module, x)


def conv_transpose(b: Builder, node: Any) -> fx.Node:
    """Unequal pads become a crop after the convolution."""
    given = b.attrs(node)
    if given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in given:
        raise b.refuse(node, "its pads are given by the output's shape")
    weight = b.constant(node, 1, "weight")
    bias = b.constant(node, 2, "bias") if b.present(node, 2) else None
    rank = weight.ndim - 2
    if rank not in _TRANSPOSE:
        raise b.refuse(node, f"it has {rank} dimensions")
    begins, ends = split_pads(list(given.get("pads", [0] * (2 * rank))))
    extra = list(given.get("output_padding", [0] * rank))
    even = begins == ends
    groups = given.get("group", 1)
    strides = tuple(given.get("strides", [1] * rank))
    module = _TRANSPOSE[rank](
        weight.shape[0],
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        stride=strides,
        padding=tuple(begins) if even else 0,
        output_padding=tuple(extra) if even else 0,
        groups=groups,
        bias=bias is not None,
        dilation=tuple(given.get("dilations", [1] * rank)),
    )
    _load(module, weight, bias)
    y = b.module(node, module, b.value(node.input[0]))
    if even:
        return y
    if any(more > end for more, end in zip(extra, ends, strict=True)):
        raise b.refuse(node, "its output padding exceeds its unequal pads")
    for axis, (begin, size) in enumerate(
        zip(begins, b.shape(node.output[0], node)[2:], strict=True), start=2
    ):
        y = b.call(torch.narrow, y, axis, begin, size)
    return y


def _load(module: Any, weight: Any, bias: Any) -> None:
    module.weight = nn.Parameter(tensor(weight))
    if bias is not None:
        module.bias = nn.Parameter(tensor(bias))


CONVERTERS: dict[str, Converter] = {"Conv": conv, "ConvTranspose": conv_transpose}
