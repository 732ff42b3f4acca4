"""Fake quantisation: what 8 bits do to the networks, in float32 and with gradients.

A runtime stores what a convolution reads as U8 with one scale and zero point per tensor, its weight
as S8 with one scale per output channel (Jacob et al., "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", CVPR 2018). Rounding passes gradients through
unchanged, clamping stops them (the straight-through estimator of Bengio et al., "Estimating or
Propagating Gradients Through Stochastic Neurons", 2013). The weights themselves stay float32.

A weight is rounded before its batch norm is folded, which comes to the same: a norm in evaluation
mode multiplies each output channel by one number, and so that channel's symmetric scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from edgeanim.models.nets.blocks import Convolution

_LEVELS = 255
_WEIGHT_LIMIT = 127
_WARM_UP = 20
"""The first passes, whose ranges are united; from then on a moving average is taken."""
_MOMENTUM = 0.99
"""What that average keeps at each further pass."""
_LEAST = 1e-12
"""An all-zero tensor still needs a scale to divide by."""


class FakeQuant(nn.Module):  # type: ignore[misc]
    """The ranges of all that the convolutions of `module` read, and how to round by them.

    Nothing is added to `module`: its convolutions round within `rounded` and only there. The state
    dict holds `low` and `high`, float32 [L], one for each convolution, and `passes`, int64 [].
    """

    low: Tensor
    high: Tensor
    passes: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # A list of them: as submodules they would be saved once more.
        self._layers = [part for part in module.modules() if isinstance(part, Convolution)]
        self.register_buffer("low", torch.zeros(len(self._layers)))
        self.register_buffer("high", torch.zeros(len(self._layers)))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Within the block values stay as they are and tell their ranges. Each convolution is to be
        passed once: that is what one pass means."""
        with self._hooked(self._observe):
            yield
        self.passes += 1

    @contextmanager
    def rounded(self) -> Iterator[None]:
        """Within the block every convolution rounds what it reads and its weight."""
        with self._hooked(self._round):
            yield

    @contextmanager
    def _hooked(
        self, hook: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> Iterator[None]:
        for index, layer in enumerate(self._layers):
            layer.fake_quant = partial(hook, index)
        try:
            yield
        finally:
            for layer in self._layers:
                layer.fake_quant = None

    def _observe(self, index: int, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        low, high = torch.aminmax(x.detach())
        # Once not finite, an average would be so for ever.
        if bool(torch.isfinite(low + high)):
            self.low[index] = self._averaged(self.low[index], low.clamp(max=0), torch.minimum)
            self.high[index] = self._averaged(self.high[index], high.clamp(min=0), torch.maximum)
        return x, weight

    def _averaged(
        self, old: Tensor, new: Tensor, unite: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        if int(self.passes) < _WARM_UP:
            return unite(old, new)
        return old.lerp(new, 1 - _MOMENTUM)

    def _round(self, index: int, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return fake_quantize(x, self.low[index], self.high[index]), fake_quantize_weight(weight)


def fake_quantize(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`x` of any shape as U8 holds it in the range `low` <= 0 <= `high`, float32 [] each.

    With s = (high - low) / 255 and z = round(-low / s): s (clamp(round(x / s) + z, 0, 255) - z)
    (Jacob et al. 2018, equation 1), so zero is exact.
    """
    scale = ((high - low) / _LEVELS).clamp(min=_LEAST)
    zero = (-low / scale).round().to(torch.int32)
    rounded: Tensor = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, _LEVELS)
    return rounded


def fake_quantize_weight(weight: Tensor) -> Tensor:
    """A weight [O, I, h, w] as S8 holds it, symmetric per output channel: s round(w / s) with
    s = max|w| / 127."""
    scale = weight.detach().abs().amax((1, 2, 3)).clamp(min=_LEAST) / _WEIGHT_LIMIT
    zero = torch.zeros_like(scale, dtype=torch.int32)
    rounded: Tensor = torch.fake_quantize_per_channel_affine(
        weight, scale, zero, 0, -_WEIGHT_LIMIT, _WEIGHT_LIMIT
    )
    return rounded
