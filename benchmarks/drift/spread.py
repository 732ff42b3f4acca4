"""One figure over the frames of a clip: its mean, its tail, its worst frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Spread:
    """A figure over the frames. `tail` is the 5th percentile of a similarity, the 95th of an error
    (of its size); `worst` the smallest similarity or largest error, that of `worst_frame`."""

    mean: float
    tail: float
    worst: float
    worst_frame: int


@dataclass
class Series:
    """One figure, frame by frame; frames where it has no meaning are left out."""

    values: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def add(self, value: float | None, frame: int) -> None:
        """The figure of this frame."""
        if value is not None:
            self.values.append(value)
            self.frames.append(frame)

    def mean(self) -> float | None:
        """Over the frames that have it."""
        return float(np.mean(self.values)) if self.values else None

    def similarity(self) -> Spread | None:
        """The spread of a figure of which more is better."""
        return self._spread(5, np.asarray(self.values))

    def error(self) -> Spread | None:
        """The spread of a figure whose size is to be small."""
        return self._spread(95, -np.abs(self.values))

    def _spread(self, percent: int, goodness: NDArray[np.float64]) -> Spread | None:
        if not self.values:
            return None
        worst = int(np.argmin(goodness))
        tail = np.percentile(np.abs(goodness) if percent > 50 else goodness, percent)
        return Spread(
            float(np.mean(self.values)), float(tail), self.values[worst], self.frames[worst]
        )
