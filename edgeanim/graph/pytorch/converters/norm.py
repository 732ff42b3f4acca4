"""Normalisations as `torch.nn` modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx, nn

from edgeanim.graph.pytorch.converters.builder import Builder, Converter, tensor


def instance_normed(
    x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
) -> torch.Tensor:
    """[N, C, ...] to the same shape, as a group norm with a group for each channel.

    The backward pass of PyTorch's own instance norm (2.13, on a CPU) is wrong for a single picture
    if what comes back to it is channels-last. This one is right, and faster where values lie
    channels-first, so they are made to. Of a map of one pixel it gives the bias, as runtimes do;
    `F.group_norm` refuses one.
    """
    return torch.group_norm(x.contiguous(), x.shape[1], weight, bias, eps)


class _Trainable:
    """An instance norm through which can be trained."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return instance_normed(x, self.weight, self.bias, self.eps)


class InstanceNorm1d(_Trainable, nn.InstanceNorm1d):  # type: ignore[misc]
    """Of [N, C, L]."""


class InstanceNorm3d(_Trainable, nn.InstanceNorm3d):  # type: ignore[misc]
    """Of [N, C, D, H, W]."""


class InstanceNorm2d(_Trainable, nn.InstanceNorm2d):  # type: ignore[misc]
    """Instance norm that is exported as plain means, channels-last.

    The TFLite converter has no layout but channels-first for the built-in op, nor for means that
    keep their axes: two transposes each time. On the way to ONNX, `rewrites.instance_norm` makes
    one op of them again.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to the same shape."""
        if not torch.compiler.is_exporting():
            return super().forward(x)
        centred, inverse = _channels_last_statistics(x, self.eps)
        y = centred * inverse
        if self.affine:
            y = y * self.weight + self.bias
        return torch.permute(y, (0, 3, 1, 2))


class ComputedInstanceNorm2d(nn.Module):  # type: ignore[misc]
    """Instance norm whose scale and bias are computed; exported like the other one."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], [C] and [C] to the shape of the first."""
        centred, inverse = _channels_last_statistics(x, self.eps)
        y = centred * (inverse * scale) + bias
        return torch.permute(y, (0, 3, 1, 2))


def _channels_last_statistics(x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, C, H, W] as [N, H, W, C] less each picture's and channel's mean, and the inverse of each
    one's standard deviation [N, 1, 1, C]."""
    x = torch.permute(x, (0, 2, 3, 1))
    centred = x - x.mean((1, 2), keepdim=True)
    variance = (centred * centred).mean((1, 2), keepdim=True)
    return centred, torch.rsqrt(variance + eps)


_BATCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE: dict[int, Any] = {3: InstanceNorm1d, 4: InstanceNorm2d, 5: InstanceNorm3d}


def batch_norm(b: Builder, node: Any) -> fx.Node:
    """At inference: with its stored mean and variance."""
    given = b.attrs(node)
    rank = len(b.shape(node.input[0], node))
    if given.get("training_mode", 0) or rank not in _BATCH:
        raise b.refuse(node, "it is in training mode or of an unusual rank")
    weight, bias, mean, variance = (
        tensor(b.constant(node, i, name))
        for i, name in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance"))
    )
    module = _BATCH[rank](len(weight), eps=given.get("epsilon", 1e-5))
    module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
    module.running_mean, module.running_var = mean, variance
    return b.module(node, module, b.value(node.input[0]))


def instance_norm(b: Builder, node: Any) -> fx.Node:
    """Without weights where scale is 1 and bias 0 throughout, or where either is computed."""
    rank = len(b.shape(node.input[0], node))
    if rank not in _INSTANCE:
        raise b.refuse(node, f"its input has {rank} axes")
    scale, bias = b.onnx.constant_of(node, 1), b.onnx.constant_of(node, 2)
    if scale is None or bias is None:
        return _scaled_by_inputs(b, node, rank)
    affine = bool((scale != 1).any() or (bias != 0).any())
    module = _INSTANCE[rank](scale.size, eps=b.attrs(node).get("epsilon", 1e-5), affine=affine)
    if affine:
        module.weight, module.bias = nn.Parameter(tensor(scale)), nn.Parameter(tensor(bias))
    return b.module(node, module, b.value(node.input[0]))


def _scaled_by_inputs(b: Builder, node: Any, rank: int) -> fx.Node:
    """Scale and bias as computed."""
    x, scale, bias = (b.value(name) for name in node.input)
    eps = b.attrs(node).get("epsilon", 1e-5)
    if rank == 4:
        return b.module(node, ComputedInstanceNorm2d(eps), x, scale, bias)
    return b.call(instance_normed, x, scale, bias, eps)


def layer_norm(b: Builder, node: Any) -> fx.Node:
    """Over all axes from `axis` on."""
    given = b.attrs(node)
    scale = b.constant(node, 1, "scale")
    bias = b.constant(node, 2, "bias") if b.present(node, 2) else None
    shape = b.shape(node.input[0], node)[given.get("axis", -1) :]
    if max(scale.ndim, 0 if bias is None else bias.ndim) > len(shape):
        raise b.refuse(node, "its scale or its bias has more axes than are normalised")
    scale = np.broadcast_to(scale, shape)
    bias = None if bias is None else np.broadcast_to(bias, shape)
    if any(node.output[1:]):
        raise b.refuse(node, "its mean or its deviation is asked for")
    module = nn.LayerNorm(shape, eps=given.get("epsilon", 1e-5), bias=bias is not None)
    module.weight = nn.Parameter(tensor(scale))
    if bias is not None:
        module.bias = nn.Parameter(tensor(bias))
    return b.module(node, module, b.value(node.input[0]))


def group_norm(b: Builder, node: Any) -> fx.Node:
    """Since opset 21 with one scale per channel; the older form, one per group, was withdrawn."""
    given = b.attrs(node)
    scale, bias = b.constant(node, 1, "scale"), b.constant(node, 2, "bias")
    channels = b.shape(node.input[0], node)[1]
    if scale.size != channels:
        raise b.refuse(node, "it has one scale per group")
    module = nn.GroupNorm(given["num_groups"], channels, eps=given.get("epsilon", 1e-5))
    module.weight, module.bias = nn.Parameter(tensor(scale)), nn.Parameter(tensor(bias))
    return b.module(node, module, b.value(node.input[0]))


CONVERTERS: dict[str, Converter] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
}
