"""Wide depthwise convolutions as sums over bands of their kernels' rows.

XNNPACK, which computes for TFLite, holds the taps of a depthwise kernel in registers up to 25 of
them. For more it passes over the picture anew for every few, which takes several times as long as
the rows in bands, and many times as long as 5 x 5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

MOST_TAPS = 25


class Bands(nn.Module):  # type: ignore[misc]
    """What the depthwise `layer`, padded by zeros, gives, [N, C, H, W] to the same."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        height, width = layer.kernel_size
        rows = bands_of(height, width)
        self.begins = [band.start for band in rows]
        self.stride = layer.stride[0]
        self.pads = (layer.padding[1],) * 2 + (layer.padding[0],) * 2
        self.height = height
        self.bands = nn.ModuleList(_band(layer, band) for band in rows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, self.pads)
        last = (x.shape[2] - self.height) // self.stride * self.stride
        parts = [
            band(x[:, :, begin : begin + last + band.kernel_size[0]])
            for begin, band in zip(self.begins, self.bands, strict=True)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def bands_of(height: int, width: int) -> list[slice]:
    """The rows of each band of a kernel of this size."""
    rows = max(1, MOST_TAPS // width)
    return [slice(begin, min(begin + rows, height)) for begin in range(0, height, rows)]


def in_bands(module: nn.Module) -> int:
    """Put `Bands` in the place of the depthwise convolutions of `module` that gain by it; returns
    how many."""
    wide = [(name, layer) for name, layer in module.named_modules() if _gains(layer)]
    for name, layer in wide:
        module.set_submodule(name, Bands(layer))
    return len(wide)


def _gains(layer: nn.Module) -> bool:
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str):
        return False
    height, width = layer.kernel_size
    depthwise = layer.groups == layer.in_channels == layer.out_channels > 1
    plain = layer.padding_mode == "zeros" and tuple(layer.dilation) == (1, 1)
    return depthwise and plain and width <= MOST_TAPS < height * width


def _band(layer: nn.Conv2d, rows: slice) -> nn.Conv2d:
    """Some rows of the kernel; the bias goes with the first."""
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (rows.stop - rows.start, layer.kernel_size[1]),
        layer.stride,
        groups=layer.groups,
        bias=layer.bias is not None and rows.start == 0,
    )
    with torch.no_grad():
        made.weight.copy_(layer.weight[:, :, rows])
        if made.bias is not None:
            made.bias.copy_(layer.bias)
    return made
