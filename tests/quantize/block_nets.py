"""Nets of one building block each, as image-animation networks of others are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

WIDTH = 32
DEPTH = 4
Block = Callable[[], nn.Module]


class Residual(nn.Module):  # type: ignore[misc]
    """x + inner(x)."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class Normed(nn.Module):  # type: ignore[misc]
    """A layer norm over the channels of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Excite(nn.Module):  # type: ignore[misc]
    """Squeeze and excite."""

    def __init__(self, channels: int = WIDTH) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.excite(small))


class Gated(nn.Module):  # type: ignore[misc]
    """A gated convolution: one half of the channels weighs the other."""

    def __init__(self) -> None:
        super().__init__()
        self.both = conv(2 * WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features, gate = self.both(x).chunk(2, 1)
        return F.elu(features) * torch.sigmoid(gate)


class SimpleGate(nn.Module):  # type: ignore[misc]
    """The product of two halves, as in NAFNet."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = x.chunk(2, 1)
        return one * other


class ConvNext(nn.Module):  # type: ignore[misc]
    """A wide depthwise convolution, then two linear layers over each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = depthwise(7)
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.norm(self.wide(x).permute(0, 2, 3, 1))
        return x + 0.3 * self.down(F.gelu(self.up(rows))).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):  # type: ignore[misc]
    """Attention between channels in four heads, as in Restormer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = Normed()
        self.made = nn.Sequential(
            nn.Conv2d(WIDTH, 3 * WIDTH, 1),
            nn.Conv2d(3 * WIDTH, 3 * WIDTH, 3, padding=1, groups=3 * WIDTH),
        )
        self.out = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        made = self.made(self.norm(x)).view(count, 3, 4, channels // 4, height * width)
        query, key, value = made.unbind(1)
        scores = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-1, -2)
        return x + self.out((torch.softmax(scores, -1) @ value).reshape(x.shape))


class PixelAttention(nn.Module):  # type: ignore[misc]
    """Attention between 16 x 16 tokens in four heads, as at the bottom of a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.made, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = F.adaptive_avg_pool2d(x, 16)
        tokens = small.flatten(2).transpose(1, 2)
        query, key, value = (
            self.made(self.norm(tokens)).view(1, 256, 3, 4, WIDTH // 4).permute(2, 0, 3, 1, 4)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(WIDTH // 4)
        made = (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(1, 256, WIDTH)
        made = self.out(made).transpose(1, 2).reshape(small.shape)
        return x + F.interpolate(made, size=x.shape[2:], mode="nearest")


class Spade(nn.Module):  # type: ignore[misc]
    """Scale and shift computed for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(WIDTH, 16, 3, padding=1), nn.ReLU())
        self.both = nn.Conv2d(16, 2 * WIDTH, 3, padding=1)
        self.norm, self.out = nn.InstanceNorm2d(WIDTH), conv()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale, shift = self.both(self.shared(x)).chunk(2, 1)
        return x + self.out(F.leaky_relu(self.norm(x) * (1 + scale) + shift, 0.2))


class Modulated(nn.Module):  # type: ignore[misc]
    """A convolution whose kernel a style scales, as in StyleGAN 2; here one of the map itself."""

    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Linear(WIDTH, WIDTH)
        self.kernel = nn.Parameter(torch.randn(WIDTH, WIDTH, 3, 3) / 17)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = 1 + self.style(x.mean((2, 3)))
        kernel = self.kernel[None] * scales[:, None, :, None, None]
        size = kernel.square().sum((2, 3, 4), keepdim=True)
        return F.leaky_relu(F.conv2d(x, (kernel * torch.rsqrt(size + 1e-8))[0], padding=1), 0.2)


class Shrunk(nn.Module):  # type: ignore[misc]
    """Convolved at a quarter of the size, blurred before, as a first order motion model shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = conv_relu()
        line = torch.exp(-((torch.arange(13) - 6) ** 2) / 4.5)
        blur = torch.outer(line, line) / line.sum() ** 2
        self.register_buffer("blur", blur.expand(WIDTH, 1, 13, 13).clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = F.conv2d(F.pad(x, (6, 6, 6, 6)), self.blur, groups=WIDTH)[:, :, ::4, ::4]
        return x + F.interpolate(self.inner(small), scale_factor=4.0)


class Level(nn.Module):  # type: ignore[misc]
    """A level of a U-Net."""

    def __init__(self, down: nn.Module, up: nn.Module) -> None:
        super().__init__()
        self.down, self.up = down, up
        self.skip, self.inner = conv_relu(), conv_relu()
        self.out = nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.skip(x)
        return F.relu(self.out(torch.cat([skip, self.up(self.inner(self.down(skip)))], 1)))


class Net(nn.Module):  # type: ignore[misc]
    """[1, 3, H, W] in 0..1 to the same: half the size, `DEPTH` blocks of `WIDTH` channels, back."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, 2, 1),
            *(block() for _ in range(DEPTH)),
            nn.ConvTranspose2d(WIDTH, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 3, 3, padding=1),
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.body(picture))


def conv(channels: int = WIDTH) -> nn.Module:
    return nn.Conv2d(WIDTH, channels, 3, padding=1)


def depthwise(kernel: int = 3, channels: int = WIDTH) -> nn.Module:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)


def conv_relu() -> nn.Module:
    return nn.Sequential(conv(), nn.ReLU())


def _naf() -> nn.Module:
    mixing = (Normed(), nn.Conv2d(WIDTH, 2 * WIDTH, 1), depthwise(3, 2 * WIDTH), SimpleGate())
    feeding = (Normed(), nn.Conv2d(WIDTH, 2 * WIDTH, 1), SimpleGate())
    return nn.Sequential(
        Residual(*mixing, nn.Conv2d(WIDTH, WIDTH, 1)),
        Residual(*feeding, nn.Conv2d(WIDTH, WIDTH, 1)),
    )


def _inverted(activation: Block, *excite: nn.Module) -> nn.Module:
    wide = 4 * WIDTH
    return Residual(
        nn.Conv2d(WIDTH, wide, 1), activation(), depthwise(3, wide), activation(), *excite,
        nn.Conv2d(wide, WIDTH, 1),
    )  # fmt: skip


BLOCKS: dict[str, Block] = {
    "convolution, ReLU": conv_relu,
    "convolution, SiLU": lambda: nn.Sequential(conv(), nn.SiLU()),
    "convolution, GELU": lambda: nn.Sequential(conv(), nn.GELU()),
    "convolution, PReLU": lambda: nn.Sequential(conv(), nn.PReLU(WIDTH)),
    "convolution, PReLU of one slope": lambda: nn.Sequential(conv(), nn.PReLU()),
    "instance norm": lambda: nn.Sequential(conv(), nn.InstanceNorm2d(WIDTH), nn.ReLU()),
    "group norm, SiLU": lambda: nn.Sequential(conv(), nn.GroupNorm(8, WIDTH), nn.SiLU()),
    "layer norm, GELU": lambda: nn.Sequential(conv(), Normed(), nn.GELU()),
    "residual": lambda: Residual(conv_relu(), conv()),
    "reflection pads": lambda: nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(WIDTH, WIDTH, 3), nn.ReLU()
    ),
    "U-Net, max pool, bilinear": lambda: Level(
        nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
    ),
    "U-Net, strides, transposed": lambda: Level(
        nn.Conv2d(WIDTH, WIDTH, 4, 2, 1), nn.ConvTranspose2d(WIDTH, WIDTH, 4, 2, 1)
    ),
    "U-Net, pixel shuffles": lambda: Level(
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * WIDTH, WIDTH, 1)),
        nn.Sequential(nn.Conv2d(WIDTH, 4 * WIDTH, 1), nn.PixelShuffle(2)),
    ),
    "squeeze and excite": lambda: nn.Sequential(conv_relu(), Excite()),
    "inverted, ReLU6": lambda: _inverted(nn.ReLU6),
    "inverted, hard swish, excite": lambda: _inverted(nn.Hardswish, Excite(4 * WIDTH)),
    "inverted, SiLU, excite": lambda: _inverted(nn.SiLU, Excite(4 * WIDTH)),
    "gated convolution": Gated,
    "modulated convolution": Modulated,
    "blur, every fourth pixel": Shrunk,
    "SPADE": Spade,
    "NAFNet's block": _naf,
    "ConvNeXt's block": ConvNext,
    "attention between channels": ChannelAttention,
    "attention between pixels": PixelAttention,
}
