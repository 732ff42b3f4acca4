"""From soft masks to motion: the centre, size and heading of each region."""

from __future__ import annotations

import torch
from torch import Tensor

_MASS = 1e-4
"""Mean weight below which a region counts as absent; it then rests at the centre, small,
heading down."""
_VARIANCE = 1e-3
"""Added to the variances: a region is never thinner than this, so its affine can be inverted."""


def axis(count: int, like: Tensor) -> Tensor:
    """Pixel centres of `count` pixels over -1..1, as `grid_sample(align_corners=False)` has them.

    Written out, so that an exported graph holds a constant and no op that makes one.
    """
    return torch.tensor([(2 * i + 1) / count - 1 for i in range(count)], device=like.device)


def motion_of(mask: Tensor, direction: Tensor) -> Tensor:
    """Motion [N, K, 6] of soft masks [N, K, h, w]: centre x, y and the affine a, b, c, d.

    `direction` [N, 2, h, w] points, at each pixel, the way its part points in the picture (down the
    limb, from crown to chin); its mean over a region gives the region's heading q. Second moments
    alone cannot tell which end of a limb is which, nor turn a round head (a field of directions
    over the picture serves all regions: Cao et al., "Part Affinity Fields", CVPR 2017). The affine
    takes the y axis to q, stretched by the region's deviation along q, and the x axis to q's
    normal, stretched by that across: of two motions of one region, A_t A_0^-1 never shears.
    Weights are the squared mask, so that the faint rest of a softmax far away has no say.
    """
    mask, direction = mask.float(), direction.float()
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
    var_x = (columns * dx * dx).mean(2, keepdim=True) / mass
    var_y = (rows * dy * dy).mean(2, keepdim=True) / mass
    cov = (inner * dy).mean(2, keepdim=True) / mass
    qx, qy = _heading(weight, direction)
    along = (qx * qx * var_x + 2 * qx * qy * cov + qy * qy * var_y).clamp(min=0) + _VARIANCE
    across = (qy * qy * var_x - 2 * qx * qy * cov + qx * qx * var_y).clamp(min=0) + _VARIANCE
    along, across = along.sqrt(), across.sqrt()
    return torch.cat(
        [centre_x, centre_y, across * qy, along * qx, -(across * qx), along * qy], dim=2
    )


def _heading(weight: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Unit heading x and y, each [N, K, 1]: straight down where a region is absent."""
    x, y = ((weight * direction[:, i : i + 1]).mean(3).mean(2).unsqueeze(2) for i in (0, 1))
    y = y + _MASS
    length = (x * x + y * y).sqrt() + 1e-8
    return x / length, y / length
