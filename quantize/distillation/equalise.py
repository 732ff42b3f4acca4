"""Channel equalisation: one 8-bit range for a whole tensor serves all of its channels.

Per-tensor activations waste their levels on the widest channel. A channel may be made s times
smaller where it is made, if whoever reads it takes it s times as strongly: through ReLUs, paddings
and sums, out of a convolution or the affine of a norm, into a convolution. In exact arithmetic the
graph computes the same; the factors move precision between activations and weights (Nagel et al.
2019, "Data-free quantization through weight equalization and bias correction"; Xiao et al. 2023,
"SmoothQuant", for the exponent).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from edgeanim.graph.pytorch.traced import traced_shapes, watched_run
from edgeanim.quantize.distillation.equalise_classes import CONVOLUTIONS, Channels, find_channels
from edgeanim.quantize.distillation.placement import Placement

Floats = NDArray[np.float64]

# A channel, or a kernel's column, this much weaker than the strongest counts as no weaker.
_FLOOR = 1e-3
# An instance norm takes out a factor on its input but for epsilon, which may change a channel's
# result by at most this part.
_NORM_ERROR = 1e-3


@dataclass(frozen=True)
class Equalised:
    """How many channels were scaled, in how many classes, and the largest factor either way."""

    channels: int
    classes: int
    largest: float


def equalise(
    module: fx.GraphModule,
    placement: Placement,
    batches: Sequence[Sequence[torch.Tensor]],
    *,
    strength: float = 0.5,
) -> Equalised:
    """Equalise the channels of `module` in place; what it computes stays the same.

    `placement` says which values are stored in 8 bits and which kernels too; `batches` are inputs,
    of which the channels' ranges are taken. A class's factor is r^strength / w^(1 - strength) with
    r its range and w its kernel columns, each over the largest beside it: 1 spends all on the
    activations, 0 on the weights.
    """
    channels = find_channels(module, traced_shapes(module, batches[0]))
    seen = _watch(module, channels, set(placement.values), batches)
    ranges, columns = np.zeros(channels.count), np.zeros(channels.count)
    for node, peaks in seen.peaks.items():
        _raise(ranges, channels.root(channels.of[node]), peaks / max(peaks.max(), 1e-30))
    for node in module.graph.nodes:
        # What is no [1, C, H, W], a stack of pictures say, has no variables.
        is_tracked = node.op == "call_module" and node.args[0] in channels.of
        if is_tracked and str(node.target) in placement.convolutions:
            layer = module.get_submodule(str(node.target))
            _raise(columns, channels.root(channels.of[node.args[0]]), _columns(layer))
    lowest, highest = _norm_limits(channels, seen.variances)
    free = (ranges > 0) & ((columns > 0) | (lowest > -np.inf))
    free[list(channels.fixed)] = False
    factors = np.ones(channels.count)
    wide, read = np.maximum(ranges[free], _FLOOR), np.maximum(columns[free], _FLOOR)
    # Where no kernel reads a channel nothing speaks against equal ranges.
    factors[free] = np.where(columns[free] > 0, wide**strength / read ** (1 - strength), wide)
    factors[free] = factors[free].clip(lowest[free], highest[free])
    _apply(module, channels, factors)
    changed = np.abs(np.log(factors[free])) > 1e-6
    members = channels.root(np.arange(channels.count))
    return Equalised(
        channels=int(np.isin(members, np.flatnonzero(free)).sum()),
        classes=int(changed.sum()),
        largest=float(np.exp(np.abs(np.log(factors)).max())),
    )


def _raise(target: Floats, classes: NDArray[np.int64], values: Floats) -> None:
    np.maximum.at(target, classes, values)


@dataclass
class _Seen:
    """Over all batches: the largest magnitude of each channel of the values stored in 8 bits, and
    the least variance of each channel that an instance norm reads."""

    peaks: dict[fx.Node, Floats] = field(default_factory=dict)
    variances: dict[fx.Node, Floats] = field(default_factory=dict)


def _watch(
    module: fx.GraphModule,
    channels: Channels,
    stored: set[str],
    batches: Iterable[Sequence[torch.Tensor]],
) -> _Seen:
    seen = _Seen()

    def watch(node: fx.Node, value: torch.Tensor) -> None:
        if node.name in stored and node in channels.of:
            # [1, C, H, W], or a parameter [C, 1, 1].
            magnitudes = value.abs().movedim(-3, -1)
            peak = magnitudes.flatten(0, -2).amax(0).double().numpy()
            seen.peaks[node] = np.maximum(seen.peaks.get(node, 0.0), peak)
        if node in channels.normalized:
            least = value.double().var((2, 3), unbiased=False).amin(0).numpy()
            seen.variances[node] = np.minimum(seen.variances.get(node, np.inf), least)

    for inputs in batches:
        watched_run(module, inputs, watch)
    return seen


def _norm_limits(channels: Channels, variances: dict[fx.Node, Floats]) -> tuple[Floats, Floats]:
    """The least and largest factor of each class that instance norms allow; infinite if none reads
    it.

    A norm of variance v gives x / sqrt(v + e); with the input divided by s that becomes
    x / sqrt(v + s^2 e), a relative change of about e (1 - s^2) / 2v.
    """
    lowest, highest = np.full(channels.count, -np.inf), np.full(channels.count, np.inf)
    for node, variance in variances.items():
        classes = channels.root(channels.of[node])
        room = 2 * _NORM_ERROR * variance / channels.normalized[node]
        np.maximum.at(lowest, classes, np.sqrt(np.maximum(1 - room, 0)))
        np.minimum.at(highest, classes, np.sqrt(1 + room))
    return lowest, highest


def _columns(layer: Any) -> Floats:
    """How strongly each input channel is read: its largest weight over that of the kernel."""
    weight = layer.weight.detach().double().abs()
    if isinstance(layer, nn.ConvTranspose2d):
        kernels = weight.amax((0, 2, 3), keepdim=True).clamp_min(1e-30)
        return (weight / kernels).amax((1, 2, 3)).numpy()  # type: ignore[no-any-return]
    relative = (weight / weight.amax((1, 2, 3), keepdim=True).clamp_min(1e-30)).amax((2, 3))
    groups = relative.reshape(layer.groups, -1, relative.shape[1])
    return groups.amax(1).reshape(-1).numpy()  # type: ignore[no-any-return]


def _apply(module: fx.GraphModule, channels: Channels, factors: Floats) -> None:
    """Divide every value's channels by their class's factor, absorbed where they are made."""

    def of(node: Any) -> torch.Tensor:
        return torch.from_numpy(factors[channels.root(channels.of[node])])

    with torch.no_grad():
        for node in module.graph.nodes:
            if node not in channels.of:
                continue
            if node.op == "get_attr":
                held = getattr(module, str(node.target))
                _scale(held if held.ndim == 3 else held[0], 1 / of(node))  # [C, ...] of [1, C, ...]
            elif node.op == "call_module":
                _scale_layer(module.get_submodule(str(node.target)), node, of)


def _scale_layer(layer: nn.Module, node: Any, of: Callable[[Any], torch.Tensor]) -> None:
    """Let the layer that `node` calls take and give values divided by the factors `of` nodes."""
    if isinstance(layer, CONVOLUTIONS):
        _scale_convolution(layer, of(node.args[0]), 1 / of(node))
    elif isinstance(layer, nn.InstanceNorm2d) and layer.affine:
        _scale(layer.weight, 1 / of(node))
        _scale(layer.bias, 1 / of(node))
    elif isinstance(layer, nn.BatchNorm2d):
        _scale_batch_norm(layer, of(node.args[0]), 1 / of(node))


def _scale_convolution(layer: Any, taken: torch.Tensor, given: torch.Tensor) -> None:
    """Inputs are read `taken` times as strongly, outputs made `given` times as large."""
    weight = layer.weight
    groups = layer.groups
    if isinstance(layer, nn.ConvTranspose2d):
        per_group = given.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
        _scale(weight, taken[:, None] * per_group)
    else:
        per_group = taken.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
        _scale(weight, given[:, None] * per_group)
    if layer.bias is not None:
        _scale(layer.bias, given)


def _scale_batch_norm(layer: Any, taken: torch.Tensor, given: torch.Tensor) -> None:
    layer.running_mean.mul_((1 / taken).to(layer.running_mean.dtype))
    _scale(layer.weight, taken * given)
    _scale(layer.bias, given)


def _scale(tensor: torch.Tensor, factor: torch.Tensor) -> None:
    """In double, rounded once."""
    shaped = factor.reshape(*factor.shape, *[1] * (tensor.ndim - factor.ndim))
    tensor.copy_(tensor.double() * shaped)
