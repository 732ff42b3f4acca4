"""How far a changed model is from the unchanged one, in what a viewer sees and in what leads there.

The composed frame decides: mean absolute error plus 1 - SSIM, which is what drift is. Its gradient
through a warp is blind where the still has no texture, so motion and flow are held as well, in
pixels; masks, features and the rest by their squared error over their own variance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgeanim.core.ssim import WINDOW
from edgeanim.quantize.distillation.loss import ssim
from edgeanim.quantize.pruning.whole import Played, Roles

# What an error of one pixel of motion or flow counts, beside 1 - SSIM.
_PER_PIXEL = 0.02
_PER_VARIANCE = 0.1
_LEAST_VARIANCE = 1e-8
_IN_PIXELS = ("flow", "motion:still", "motion:driving")
# Coordinates are in units of half the picture; in a model without pictures this many pixels.
_SIDE = 256


class PlayedLoss:
    """The distance of what was played from what is wanted; `wanted` are takes of the latter, which
    tell the variance of every value."""

    def __init__(self, wanted: Sequence[Played]) -> None:
        found: dict[str, list[float]] = {}
        for played in wanted:
            for roles in (played.still, *played.frames):
                for role, value in roles.items():
                    found.setdefault(role, []).append(float(value.var(unbiased=False)))
        self._variances = {
            role: max(float(np.mean(v)), _LEAST_VARIANCE) for role, v in found.items()
        }

    def __call__(self, given: Played, wanted: Played) -> Tensor:
        """A number; both played the same take."""
        frames = []
        for made, goal, seen in zip(
            given.frames, wanted.frames, _seen_errors(given, wanted), strict=True
        ):
            error = self._roles(made, goal, given.picture)
            frames.append(error if seen is None else error + seen)
        return torch.stack(frames).mean() + self._roles(given.still, wanted.still, given.picture)

    def seen(self, given: Played, wanted: Played) -> Tensor:
        """The same of the finished frames alone; of everything in a model that makes none."""
        errors = [error for error in _seen_errors(given, wanted) if error is not None]
        return torch.stack(errors).mean() if errors else self(given, wanted)

    def _roles(self, given: Roles, wanted: Roles, picture: Tensor | None) -> Tensor:
        half = (_SIDE if picture is None else max(picture.shape[2:])) / 2
        total = torch.zeros(())
        for role, goal in wanted.items():
            if role in _IN_PIXELS:
                total = total + _PER_PIXEL * half * (given[role] - goal).abs().mean()
            elif role != "frame":
                error = F.mse_loss(given[role], goal) / self._variance(role, goal)
                total = total + _PER_VARIANCE * error
        return total

    def _variance(self, role: str, goal: Tensor) -> float:
        """That of the takes; of `goal` itself where none of them had the role."""
        found = self._variances.get(role)
        return max(float(goal.var(unbiased=False)), _LEAST_VARIANCE) if found is None else found


def _seen_errors(given: Played, wanted: Played) -> Iterator[Tensor | None]:
    """The error of each finished frame; `None` where none is made."""
    for number in range(len(given.frames)):
        one, other = (played.seen(number, given.picture) for played in (given, wanted))
        yield None if one is None or other is None else picture_error(one, other)


def picture_error(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute error plus 1 - SSIM of pictures [N, C, H, W] in 0..1; of those that are smaller
    than the window of SSIM, the absolute error alone."""
    error = (one - other).abs().mean()
    return error + 1 - ssim(one, other, 1.0) if min(one.shape[2:]) >= WINDOW else error
