"""How far a model may drift: one definition for quantising, searching and the verdict.

Drift is 1 - SSIM to the float32 original on held-out frames. A mean alone hides the few frames that
fall apart, so the 5th percentile of the frames has a limit of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from edgeanim.core.errors import UsageError

MEAN = 0.02
_ROUNDING = 1e-9  # 1 - 0.98 is a little more than 0.02
P5_OVER_MEAN = 2.5
"""What passes by default is a mean SSIM of 0.98 and 0.95 at the 5th percentile of the frames."""


class Judged(Protocol):
    """Whatever was compared with the original on some frames."""

    @property
    def drift_mean(self) -> float:
        """1 - mean SSIM."""

    @property
    def ssim_p5(self) -> float:
        """The 5th percentile of the frames' SSIM."""


@dataclass(frozen=True)
class DriftLimit:
    """`mean` is the largest mean drift allowed, `p5` the largest at the 5th percentile of SSIM."""

    mean: float = MEAN
    p5: float = MEAN * P5_OVER_MEAN

    def __post_init__(self) -> None:
        for value in (self.mean, self.p5):
            if not 0 <= value < math.inf:
                raise UsageError(f"A drift limit must be 0 or more, not {value:g}.")

    @staticmethod
    def of(mean: float, p5: float | None = None) -> DriftLimit:
        """Without `p5`, that follows the mean as in the default: 2.5 times as much."""
        return DriftLimit(mean, P5_OVER_MEAN * mean if p5 is None else p5)

    def holds(self, drift: Judged) -> bool:
        """Whether both limits are kept."""
        return self.excess(drift) <= 1

    def excess(self, drift: Judged) -> float:
        """How much of the limit is used, the one that is nearer to its end counting: at most 1 if
        both hold."""
        return max(_share(drift.drift_mean, self.mean), _share(1 - drift.ssim_p5, self.p5))

    def __str__(self) -> str:
        return f"{self.mean:g} (5th percentile {self.p5:g})"


NO_LIMIT = DriftLimit(2.0, 2.0)
"""What every drift is within: SSIM is never below -1."""


def in_words(drift: Judged) -> str:
    """A drift as `0.0123 (5th percentile 0.0250)`."""
    return f"{drift.drift_mean:.4f} (5th percentile {1 - drift.ssim_p5:.4f})"


def _share(value: float, limit: float) -> float:
    if value <= limit + _ROUNDING:
        return min(1.0, value / limit) if limit else 0.0
    return value / limit if limit else float("inf")
