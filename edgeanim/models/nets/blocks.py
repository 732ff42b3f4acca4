"""What the networks are built from: convolutions that fuse to one INT8 kernel each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Convolution(nn.Conv2d):  # type: ignore[misc]
    """A convolution whose products may be computed in another type than its weights have.

    With `compute` it returns that type. Only convolutions change: coordinates need float32, which
    an autocast of everything would take from them. Weights, and so what is saved, stay as they are.

    With `fake_quant` it works, in float32, on what that makes of its input and weight (`training`
    simulates 8 bits so).
    """

    compute: torch.dtype | None = None
    fake_quant: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.fake_quant is not None:
            return self._conv_forward(*self.fake_quant(x.float(), self.weight), self.bias)
        if self.compute is None:
            return super().forward(x)
        bias = None if self.bias is None else self.bias.to(self.compute)
        return self._conv_forward(x.to(self.compute), self.weight.to(self.compute), bias)


def compute_in(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Let all convolutions of `module` compute in `dtype`; `None` is the type of their weights."""
    for part in module.modules():
        if isinstance(part, Convolution):
            part.compute = dtype


class ConvNorm(nn.Sequential):  # type: ignore[misc]
    """Convolution and batch norm: one convolution once the norm is folded into the weights."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            Convolution(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
        )


class ConvBlock(ConvNorm):
    """Convolution, batch norm, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, stride)
        self.append(nn.ReLU(inplace=True))


def upsample(x: Tensor) -> Tensor:
    """Twice the size by repeating pixels: exact in INT8, since the scale stays."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold every batch norm of these blocks into the convolution before it, in place.

    Exact in evaluation mode: w' = w g / sqrt(v + eps), b' = beta - mean g / sqrt(v + eps).
    """
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    module.eval()
    for block in [m for m in module.modules() if isinstance(m, ConvNorm)]:
        convolution, norm = block[0], block[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block[0] = fuse_conv_bn_eval(convolution, norm)
            block[1] = nn.Identity()
    return module
