"""The segmentation U-Net: a frame and its temporal cue to soft region masks and their motion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeanim.models.config import AnimatorConfig
from edgeanim.models.nets.blocks import ConvBlock, Convolution, upsample
from edgeanim.models.nets.moments import motion_of
from edgeanim.models.regions import BACKGROUND, COUNT

_DIRECTION = 2


class Prediction(NamedTuple):
    """`scores` [N, K + 1, h/4, w/4], background last, and `direction` [N, 2, h/4, w/4]: which way
    the part at each pixel points, as a vector (x right, y down) of length 1."""

    scores: Tensor
    direction: Tensor

    def masks_and_motion(self) -> tuple[Tensor, Tensor]:
        """Masks [N, K, h/4, w/4] and motion [N, K, 6]."""
        mask = self.scores.float().softmax(dim=1)[:, :BACKGROUND]
        return mask, motion_of(mask, self.direction)


class RegionNet(nn.Module):  # type: ignore[misc]
    """U-Net from stride 2 to 32 and back to 4; skips are added: half the cost of joining them."""

    def __init__(self, config: AnimatorConfig) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = config.regions
        self.down2 = ConvBlock(6, w2, stride=2)
        self.down4 = nn.Sequential(ConvBlock(w2, w4, stride=2), ConvBlock(w4, w4))
        self.down8 = nn.Sequential(ConvBlock(w4, w8, stride=2), ConvBlock(w8, w8))
        self.down16 = nn.Sequential(ConvBlock(w8, w16, stride=2), ConvBlock(w16, w16))
        self.down32 = nn.Sequential(
            ConvBlock(w16, w32, stride=2), ConvBlock(w32, w32), ConvBlock(w32, w32)
        )
        self.bridge32 = ConvBlock(w32, w16, kernel=1)
        self.up16 = ConvBlock(w16, w16)
        self.bridge16 = ConvBlock(w16, w8, kernel=1)
        self.up8 = ConvBlock(w8, w8)
        self.bridge8 = ConvBlock(w8, w4, kernel=1)
        self.up4 = ConvBlock(w4, w4)
        self.head = Convolution(w4, COUNT + 1 + _DIRECTION, 1)
        nn.init.constant_(self.head.bias[-1], 1.0)  # parts point down until something is learned

    def predict(self, frame: Tensor, cue: Tensor) -> Prediction:
        """The scores and directions for a frame in 0..1 and its cue in -1..1, both [N, 3, h, w]."""
        s4 = self.down4(self.down2(torch.cat([frame, cue], dim=1)))
        s8 = self.down8(s4)
        s16 = self.down16(s8)
        s32 = self.down32(s16)
        s16 = self.up16(s16 + upsample(self.bridge32(s32)))
        s8 = self.up8(s8 + upsample(self.bridge16(s16)))
        s4 = self.up4(s4 + upsample(self.bridge8(s8)))
        out = self.head(s4)
        return Prediction(out[:, : COUNT + 1], out[:, COUNT + 1 :])

    def forward(self, frame: Tensor, cue: Tensor) -> tuple[Tensor, Tensor]:
        """Masks [N, K, h/4, w/4] in 0..1 (without the background) and motion [N, K, 6]."""
        return self.predict(frame, cue).masks_and_motion()
