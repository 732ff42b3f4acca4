"""From soft masks to motion: the centre of each region and the affine that its shape stands for."""

from __future__ import annotations

import torch
from torch import Tensor

_MASS = 1e-4
"""Mean weight below which a region counts as absent; it then rests at the centre, small."""
_VARIANCE = 1e-3
"""Added to the variances: a region is never thinner than this, so its affine can be inverted."""


def axis(count: int, like: Tensor) -> Tensor:
    """Pixel centres of `count` pixels over -1..1, as `grid_sample(align_corners=False)` has them.

    Written out, so that an exported graph holds a constant and no op that makes one.
    """
    return torch.tensor([(2 * i + 1) / count - 1 for i in range(count)], device=like.device)


def motion_of(mask: Tensor) -> Tensor:
    """Motion [N, K, 6] of soft masks [N, K, h, w]: centre x, y and the affine a, b, c, d.

    The affine is the symmetric square root of the covariance M of the region's pixels, in closed
    form for 2x2: sqrt(M) = (M + sqrt(det M) I) / sqrt(tr M + 2 sqrt(det M)) (Levinger 1980).
    Weights are the squared mask, so that the faint rest of a softmax far away has no say.
    """
    mask = mask.float()
    weight = mask * mask
    x = axis(mask.shape[3], mask)
    y = axis(mask.shape[2], mask)
    columns = weight.mean(2)
    rows = weight.mean(3)
    mass = columns.mean(2, keepdim=True) + _MASS
    centre_x = (columns * x).mean(2, keepdim=True) / mass
    centre_y = (rows * y).mean(2, keepdim=True) / mass
    dx = x - centre_x
    dy = y - centre_y
    # E[(x-cx)(y-cy)]: a sum over rows of dy times the sum over columns of weight * dx.
    inner = (weight * dx.unsqueeze(2)).mean(3)
    var_x = (columns * dx * dx).mean(2, keepdim=True) / mass + _VARIANCE
    var_y = (rows * dy * dy).mean(2, keepdim=True) / mass + _VARIANCE
    cov = (inner * dy).mean(2, keepdim=True) / mass
    root = (var_x * var_y - cov * cov).clamp(min=_VARIANCE * _VARIANCE).sqrt()
    scale = (var_x + var_y + 2 * root).sqrt()
    a = (var_x + root) / scale
    b = cov / scale
    d = (var_y + root) / scale
    return torch.cat([centre_x, centre_y, a, b, b, d], dim=2)
