"""Self-reenactment: what is scored of an animator, in whatever form it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.pairs import Pair
from edgeanim.models.evaluation.similarity import Picture
from edgeanim.models.regions import BACKGROUND


@dataclass(frozen=True)
class Made:
    """`frame` is the animator's. If it has regions, `affine` is that of their affine warp without a
    generator; if they are those of `models.regions`, `label` [h/4, w/4] is the driver's likeliest
    region at each pixel."""

    frame: Picture
    affine: Picture | None = None
    label: NDArray[np.int64] | None = None

    @property
    def cover(self) -> float | None:
        """The share of the picture that regions take."""
        return None if self.label is None else float((self.label != BACKGROUND).mean())


class Reenactment(Protocol):
    """One still that a driver's frames animate, in their order, in absolute motion."""

    def make(self, pair: Pair, before: Pair, number: int) -> tuple[Made, Made]:
        """What the driving frame of `pair` calls for, which is the driver's with this `number`, and
        that of `before`, the one before it."""


class Animated(Protocol):
    """An animator: trained networks (`networks`), or compiled ones that a player plays."""

    @property
    def size(self) -> int:
        """The side of the pictures that it sees."""

    def reenact(self, still: Picture, driver: Iterable[Picture]) -> Reenactment:
        """Begin with a still, float32 [3, h, w] in 0..1, as large as all frames of the `driver`, at
        which only those look whose frames depend on more than the pictures of a pair."""
