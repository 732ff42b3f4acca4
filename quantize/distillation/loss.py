"""What distillation minimises: how far the student's outputs are from the float net's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from edgeanim.core.contract import PICTURE_ROLES, TensorSpec
from edgeanim.core.ssim import K1, K2, SIGMA, WINDOW

Outputs = Sequence[torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def output_losses(specs: Sequence[TensorSpec], wanted: Sequence[Outputs]) -> list[Loss]:
    """A loss for each output; `wanted` are the float net's outputs on some samples.

    Pictures: mean absolute error over the range of values, plus 1 - SSIM, which is what drift is.
    Anything else: squared error over the output's own variance, so that a flow in thousandths
    counts as much as a colour.
    """
    losses = []
    for spec, values in zip(specs, zip(*wanted, strict=True), strict=True):
        if spec.role in PICTURE_ROLES and spec.range and min(spec.size) >= WINDOW:
            losses.append(_picture_loss(spec))
        else:
            variance = float(np.mean([float(v.var(unbiased=False)) for v in values]))
            losses.append(_scaled_error(max(variance, 1e-8)))
    return losses


def ssim(one: torch.Tensor, other: torch.Tensor, data_range: float) -> torch.Tensor:
    """Mean SSIM of [N, C, H, W] pictures (Wang et al., 2004), with gradients."""
    offsets = torch.arange(WINDOW, dtype=one.dtype) - WINDOW // 2
    kernel = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).repeat(one.shape[1], 1, 1, 1)

    def smooth(x: torch.Tensor) -> torch.Tensor:
        rows = F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])
        return F.conv2d(rows, kernel, groups=x.shape[1])

    mean_x, mean_y = smooth(one), smooth(other)
    var_x = smooth(one * one) - mean_x**2
    var_y = smooth(other * other) - mean_y**2
    cov = smooth(one * other) - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    score = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return score.mean()


def _picture_loss(spec: TensorSpec) -> Loss:
    assert spec.range is not None
    low, high = spec.range

    def loss(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        if spec.layout == "NHWC":
            given, wanted = (x.permute(0, 3, 1, 2) for x in (given, wanted))
        error = (given - wanted).abs().mean() / (high - low)
        return error + 1 - ssim(given, wanted, high - low)

    return loss


def _scaled_error(variance: float) -> Loss:
    return lambda given, wanted: F.mse_loss(given, wanted) / variance
