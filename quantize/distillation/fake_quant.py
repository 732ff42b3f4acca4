"""Rounding to 8 bits inside PyTorch, on the very grids that the schemes use, with gradients.

A value is stored as U8 with one scale and zero point per tensor: x -> clamp(round(x / s) + z, 0,
255), where the range holds zero and zero itself is exact. Weights are symmetric per output
channel, x -> round(x / s) with s = max|w| / limit; the limit is 127, or 64 where the processor adds
U8xS8 products with saturation (63.5 in OpenVINO's form, whose last step is 63). It has to be the
scheme's own limit: training decides which way each weight is rounded, and another grid rounds
others another way. Rounding passes gradients through unchanged, clamping stops them (the
straight-through estimator of Bengio et al., 2013).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from edgeanim.core.recipe import Ranges
from edgeanim.quantize.distillation.placement import Placement
from edgeanim.quantize.ranges.histogram import Histogram
from edgeanim.quantize.ranges.methods import find_range

STEPS = 255
"""Of U8, from its lowest level to its highest."""
_PREFIX = "rounded_"

Mode = Literal["off", "observe", "round"]


class _Round(torch.autograd.Function):  # type: ignore[misc]
    """To the nearest whole number, of two the even one, at most `limit` either way. The gradient is
    passed through unchanged."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, limit: int) -> torch.Tensor:  # noqa: ARG004
        return x.round().clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ARG004
        return gradient, None


class RoundedValue(nn.Module):  # type: ignore[misc]
    """Rounds a value to the grid of U8 over the range `low`..`high`, which holds zero; of no width,
    it rounds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mode: Mode = "off"
        self.low = self.high = 0.0
        self.histogram = Histogram()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape to the same; in `observe` mode the values are counted and stay as they are."""
        if self.mode == "observe":
            self.histogram.add(x.detach().numpy())
        return self.rounded(x) if self.mode == "round" else x

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """`x` quantised and dequantised, in its shape."""
        if self.high == self.low:
            return x
        scale = (self.high - self.low) / STEPS
        zero = round(-self.low / scale)
        inside = torch.clamp(x, -zero * scale, (STEPS - zero) * scale)
        return _Round.apply(inside / scale, STEPS) * scale

    def settle(self, ranges: Ranges) -> None:
        """Take the range that the method `ranges` finds in what was observed, and forget that."""
        if self.histogram.low <= self.histogram.high:
            found = find_range(self.histogram, ranges)
            self.low, self.high = found.low, found.high
        self.histogram = Histogram()


class RoundedWeight(nn.Module):  # type: ignore[misc]
    """A parametrisation: the weight as the runtime will hold it. `phases` is the stride of a
    transposed convolution, whose phases become channels of their own, else 1."""

    def __init__(self, limit: float, phases: int, transposed: bool) -> None:
        super().__init__()
        self.active = True
        self.limit, self.phases, self.transposed = limit, phases, transposed

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """[O, I, H, W], or [I, O, H, W] if transposed, to the same shape."""
        if not self.active:
            return weight
        scale = self._scale(weight.detach())
        return _Round.apply(weight / scale, math.floor(self.limit)) * scale

    def _scale(self, weight: torch.Tensor) -> torch.Tensor:
        peak = weight.abs()
        if not self.transposed:
            peak = peak.amax((1, 2, 3), keepdim=True)
        else:
            peak = peak.amax(0, keepdim=True)
            step = self.phases
            rows = torch.stack([peak[:, :, r::step].amax(2) for r in range(step)], 2)
            both = torch.stack([rows[..., c::step].amax(3) for c in range(step)], 3)
            repeats = [-(-size // step) for size in weight.shape[2:]]
            peak = both.repeat(1, 1, *repeats)[:, :, : weight.shape[2], : weight.shape[3]]
        return peak.clamp_min(1e-12) / self.limit


def insert_rounding(module: fx.GraphModule, placement: Placement, *, weight_limit: float) -> None:
    """Put the rounding of `placement` into `module`, in place, with its values' rounding off."""
    for target in placement.convolutions:
        layer = module.get_submodule(target)
        transposed = isinstance(layer, nn.ConvTranspose2d)
        phases = layer.stride[0] if transposed else 1
        rounding = RoundedWeight(weight_limit, phases, transposed)
        parametrize.register_parametrization(layer, "weight", rounding)
    wanted = set(placement.values)
    for node in list(module.graph.nodes):
        if node.name in wanted:
            name = _PREFIX + node.name
            module.add_module(name, RoundedValue())
            with module.graph.inserting_after(node):
                rounded = module.graph.call_module(name, (node,))
            node.replace_all_uses_with(rounded, delete_user_cb=lambda u, own=rounded: u is not own)
    module.recompile()


def remove_rounding(module: fx.GraphModule) -> None:
    """Take all rounding out again, in place; the weights are the trained ones, not rounded."""
    for node in list(module.graph.nodes):
        if node.op == "call_module" and str(node.target).startswith(_PREFIX):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
            module.delete_submodule(str(node.target))
    module.recompile()
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def set_rounding(module: nn.Module, *, weights: bool, values: Mode) -> None:
    """Switch the rounding of weights on or off, and that of values to a mode."""
    for part in module.modules():
        if isinstance(part, RoundedWeight):
            part.active = weights
        elif isinstance(part, RoundedValue):
            part.mode = values


def collect_ranges(
    module: nn.Module, batches: Iterable[Sequence[torch.Tensor]], ranges: Ranges
) -> None:
    """Set every value's range anew, as a scheme does: from the float graph's values on `batches`,
    by the method `ranges`."""
    with floating(module, values="observe"), torch.no_grad():
        for inputs in batches:
            module(*inputs)
    for part in module.modules():
        if isinstance(part, RoundedValue):
            part.settle(ranges)


@contextmanager
def floating(module: nn.Module, *, values: Mode = "off") -> Iterator[None]:
    """Within the block nothing is rounded; after it everything is."""
    set_rounding(module, weights=False, values=values)
    try:
        yield
    finally:
        set_rounding(module, weights=True, values="round")
