"""The backdrop behind a character: what of the still shows none of it, spread into what does.

Weighted means over ever larger squares fill each gap from the nearest squares that have anything
to say (the pyramid of Gortler et al., "The Lumigraph", 1996). Every level is pooling and
arithmetic, cheap on any backend and without a loop.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgeanim.models.nets.blocks import upsample

COLOURS = 3
_STRIDE = 4
_LEVELS = 3
"""From stride 4 to 32, of which every size is a multiple; above it is the mean of the picture."""
_MARGIN = 2
"""Pixels of this size around the character that are left out: its outline and soft edge."""
_COARSER = 0.02
"""Weight of the next level in each: it decides where a level knows less than that."""
_WHOLE = 1e-3
"""Weight of the mean of the picture, character and all: for pictures that show no backdrop."""


def backdrop_of(still: Tensor, mask: Tensor) -> Tensor:
    """Still [N, 3, h, w] in 0..1 and masks [N, K, h/4, w/4] to a backdrop [N, 3, h/4, w/4]."""
    cover = mask.sum(1, keepdim=True)
    cover = functional.max_pool2d(cover, 2 * _MARGIN + 1, stride=1, padding=_MARGIN)
    bare = (1 - cover).clamp(min=0)
    bare = bare * bare
    weight = bare * bare  # a faint rest of a mask must not let the character's own colour through
    colour = functional.avg_pool2d(still, _STRIDE)
    levels = [torch.cat([colour * weight, weight], dim=1)]
    for _ in range(_LEVELS):
        levels.append(functional.avg_pool2d(levels[-1], 2))
    *finer, coarsest = levels
    filled = _filled(coarsest.mean((2, 3), keepdim=True), colour.mean((2, 3), keepdim=True), _WHOLE)
    filled = _filled(coarsest, filled, _COARSER)
    for level in reversed(finer):
        smooth = functional.avg_pool2d(
            upsample(filled), 3, stride=1, padding=1, count_include_pad=False
        )
        filled = _filled(level, smooth, _COARSER)
    return filled


def _filled(level: Tensor, coarser: Tensor, share: float) -> Tensor:
    """A level's weighted colours [N, 4, h, w] as colours [N, 3, h, w]: where it knows little, those
    of `coarser`, which have the weight `share` everywhere."""
    return (level[:, :COLOURS] + coarser * share) / (level[:, COLOURS:] + share)
