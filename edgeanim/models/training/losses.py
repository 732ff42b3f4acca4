"""What training minimises. Pictures are float32 [N, 3, h, w] in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgeanim.core.ssim import K1, K2
from edgeanim.models.nets.moments import axis
from edgeanim.models.regions import UNKNOWN

_C1, _C2 = K1**2, K2**2
_WINDOW = 7
_EDGE = 0.05
_SCALES = 3


def warp(still: Tensor, flow: Tensor) -> Tensor:
    """Sample `still` where `flow` [N, 2, h', w'] points, in full size, as the player does."""
    height, width = still.shape[2:]
    flow = functional.interpolate(flow, (height, width), mode="bilinear", align_corners=False)
    x = axis(width, flow) + flow[:, 0]
    y = axis(height, flow).unsqueeze(1) + flow[:, 1]
    # A non-finite coordinate crashes the sampler: a diverged step must fail in the loss instead.
    grid = torch.stack([x, y], dim=-1).nan_to_num(0.0).clamp(-2, 2)
    return functional.grid_sample(still, grid, padding_mode="border", align_corners=False)


def compose(still: Tensor, flow: Tensor, alpha: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
    """The finished frame and the warped still: alpha * warp + (1 - alpha) * colour."""
    warped = warp(still, flow)
    size = still.shape[2:]
    alpha = functional.interpolate(alpha, size, mode="bilinear", align_corners=False)
    colour = functional.interpolate(colour, size, mode="bilinear", align_corners=False)
    return alpha * warped + (1 - alpha) * colour, warped


def segmentation(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice over the regions present; `UNKNOWN` labels have no say."""
    known = labels != UNKNOWN
    if not bool(known.any()):
        return scores.sum() * 0
    target = labels.long()
    entropy = functional.cross_entropy(scores, target, ignore_index=UNKNOWN)
    share = scores.softmax(1) * known.unsqueeze(1)
    truth = functional.one_hot(target.where(known, torch.zeros_like(target)), scores.shape[1])
    truth = truth.permute(0, 3, 1, 2).float() * known.unsqueeze(1)
    overlap = (share * truth).sum((0, 2, 3))
    total = share.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return entropy + dice[present].mean()


def motion_weight(still: Tensor, driving: Tensor, extra: float) -> Tensor:
    """1 where nothing changes, up to 1 + `extra` where the driving frame differs: [N, 1, h, w]."""
    change = (driving - still).abs().mean(1, keepdim=True)
    moving = (change / _EDGE).clamp(max=1)
    moving = functional.max_pool2d(moving, 5, stride=1, padding=2)
    return 1 + extra * moving


def multiscale_l1(made: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute error at full, half and quarter size, averaged."""
    total = made.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            made, real, weight = (functional.avg_pool2d(x, 2) for x in (made, real, weight))
        total = total + ((made - real).abs() * weight).mean() / weight.mean()
    return total / _SCALES


def dissimilarity(made: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of 1 - SSIM over uniform 7x7 windows of the luma: a cheap stand-in for the
    Gaussian SSIM that evaluation uses."""
    x, y = made.mean(1, keepdim=True), real.mean(1, keepdim=True)
    moments = functional.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y], 1), _WINDOW, stride=2)
    mx, my, xx, yy, xy = moments.split(1, dim=1)
    vx, vy, cov = xx - mx * mx, yy - my * my, xy - mx * my
    top = (2 * mx * my + _C1) * (2 * cov + _C2)
    ssim = top / ((mx * mx + my * my + _C1) * (vx + vy + _C2))
    weight = functional.avg_pool2d(weight, _WINDOW, stride=2)
    return ((1 - ssim) * weight).mean() / weight.mean()


def smoothness(flow: Tensor) -> Tensor:
    """Mean absolute second difference: affine flows cost nothing."""
    dx = flow[..., 2:] - 2 * flow[..., 1:-1] + flow[..., :-2]
    dy = flow[..., 2:, :] - 2 * flow[..., 1:-1, :] + flow[..., :-2, :]
    return dx.abs().mean() + dy.abs().mean()


def moving_patches(still: Tensor, driving: Tensor, scores: Tensor) -> Tensor:
    """1 for patches in which the driving frame shows anything else than the still, down to 0 where
    it shows the same: [N, 1, h, w], of the size of the discriminator's `scores`."""
    moving = motion_weight(still, driving, 1.0) - 1
    return functional.adaptive_max_pool2d(moving, scores.shape[2:])


def hinge_discriminator(real: Tensor, made: Tensor, share: Tensor) -> Tensor:
    """Real scores above 1, made ones below -1, in the patches that have a `share` in it."""
    error = functional.relu(1 - real) + functional.relu(1 + made)
    return mean_over(error, share)


def mean_over(values: Tensor, share: Tensor) -> Tensor:
    """The mean of `values` weighed by `share`; 0 where nothing has any."""
    return (values * share).sum() / share.sum().clamp(min=1.0)


def feature_matching(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Mean absolute difference of the discriminator's features (Salimans et al. 2016)."""
    return torch.stack(
        [(a.detach() - b).abs().mean() for a, b in zip(real, made, strict=True)]
    ).mean()
