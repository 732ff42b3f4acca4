"""The encoder: all that the generator needs to know of the still, computed once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeanim.models.config import AnimatorConfig
from edgeanim.models.nets.backdrop import COLOURS, backdrop_of
from edgeanim.models.nets.blocks import ConvBlock, ConvNorm, upsample
from edgeanim.models.regions import COUNT


class Encoder(nn.Module):  # type: ignore[misc]
    """Still and its region masks to features at strides 4 and 8, with context from stride 16, and
    to the backdrop."""

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.encoder
        g4, g8, _ = config.generator
        self.stem = nn.Sequential(ConvBlock(3, 32, stride=2), ConvBlock(32, w4, stride=2))
        self.join = ConvBlock(w4 + COLOURS + COUNT, w4)
        self.down8 = nn.Sequential(ConvBlock(w4, w8, stride=2), ConvBlock(w8, w8))
        self.down16 = nn.Sequential(
            ConvBlock(w8, w16, stride=2), ConvBlock(w16, w16), ConvBlock(w16, w16)
        )
        self.bridge16 = ConvBlock(w16, w8, kernel=1)
        self.mix8 = ConvBlock(w8, w8)
        self.out8 = ConvNorm(w8, g8, kernel=1)
        self.bridge8 = ConvBlock(w8, w4, kernel=1)
        self.mix4 = ConvBlock(w4, w4)
        self.out4 = ConvNorm(w4, g4, kernel=1)

    def forward(self, still: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Still [N, 3, h, w] in 0..1 and masks [N, K, h/4, w/4] to features at strides 4 and 8,
        and the backdrop [N, 3, h/4, w/4] in 0..1.

        The features are what the generator *adds* to its own maps, so they may be negative.
        """
        backdrop = backdrop_of(still, mask)
        s4 = self.join(torch.cat([self.stem(still), backdrop, mask], dim=1))
        s8 = self.down8(s4)
        s8 = self.mix8(s8 + upsample(self.bridge16(self.down16(s8))))
        s4 = self.mix4(s4 + upsample(self.bridge8(s8)))
        return self.out4(s4), self.out8(s8), backdrop
