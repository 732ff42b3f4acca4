"""What the networks are built from: convolutions that fuse to one INT8 kernel each."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Sequential):  # type: ignore[misc]
    """Convolution and batch norm: one convolution once the norm is folded into the weights."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
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
