"""The discriminator: does this frame follow from this still? Used in training only."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from edgeanim.models.nets.blocks import Convolution

_LARGEST = 128
"""Wider pictures are halved first: texture comes from the still, only structure is to be judged."""


class Discriminator(nn.Module):  # type: ignore[misc]
    """Patch scores of a (still, frame) pair at stride 8, with the features on the way."""

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 64)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            spectral_norm(Convolution(c_in, c_out, 4, stride=2, padding=1))
            for c_in, c_out in pairwise((6, *widths))
        )
        self.score = spectral_norm(Convolution(widths[-1], 1, 3, padding=1))
        self.act = nn.LeakyReLU(0.2)

    def forward(self, still: Tensor, frame: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pictures [N, 3, h, w] in 0..1 to scores per patch [N, 1, h/8, w/8] and all features."""
        x = torch.cat([still, frame], dim=1) * 2 - 1
        if x.shape[3] > _LARGEST:
            x = functional.avg_pool2d(x, 2)
        features = []
        for layer in self.layers:
            x = self.act(layer(x))
            features.append(x)
        return self.score(x).float(), features
