"""A still's motion made stronger or weaker, along its skeleton."""

from __future__ import annotations

import cmath

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.skeleton import (
    CENTRE,
    Joints,
    X,
    Y,
    along_axes,
    cross,
    to_motion,
    to_planes,
)

_NOTHING = 1e-9
_Region = tuple[complex, complex, complex]
"""The centre, x and y axis of a region, as points of the plane."""


class Strength:
    """Motions [1, K, 6] of a `still` [1, K, 6] made `share` times as strong; 1 changes nothing.

    From the still's own pose, each region turns so many times as far, stretches by the share as an
    exponent, and slides on what it hangs on so many times as far; what hangs on nothing goes so
    many times as far. So limbs stay in their joints and keep their lengths. What turns by more than
    half a circle counts as having turned the other way.
    """

    def __init__(self, still: Array, joints: Joints, share: float) -> None:
        planes = to_planes(still[0].astype(np.float64))
        there = joints.there(planes)
        self._share, self._reach = share, joints.joints
        self._still: list[_Region] = planes.tolist()
        self._holders = {k: joints.holder(k, there) for k in joints.order if there[k]}

    def __call__(self, motion: Array) -> Array:
        moved: list[_Region] = to_planes(motion[0].astype(np.float64)).tolist()
        done = list(moved)
        for k, holder in self._holders.items():  # what is held comes after its holder
            centre = self._still[k][CENTRE]
            x, y = (self._axis(self._still[k][axis], moved[k][axis]) for axis in (X, Y))
            if holder is None:
                centre += self._share * (moved[k][CENTRE] - centre)
            else:
                began = self._on_holder(self._still, k, holder, otherwise=0j)
                off = self._on_holder(moved, k, holder, otherwise=began)
                off = began + self._share * (off - began)
                of_holder, across, along = done[holder]
                centre = of_holder + off.real * across + off.imag * along - self._reach[k] * y
            done[k] = centre, x, y
        stronger: Array = to_motion(done, np.stack)
        return stronger[None].astype(np.float32)

    def _axis(self, own: complex, now: complex) -> complex:
        """An axis that turns and stretches by a power of how it does `now`."""
        if abs(own) < _NOTHING or abs(now) < _NOTHING:
            return own
        return own * cmath.exp(self._share * cmath.log(now / own))

    def _on_holder(
        self, regions: list[_Region], k: int, holder: int, *, otherwise: complex
    ) -> complex:
        """Where on its holder a region's joint is: how far across it, and how far along;
        `otherwise` on one whose axes are on one line."""
        centre, across, along = regions[holder]
        if abs(cross(across, along)) < _NOTHING:
            return otherwise
        off = regions[k][CENTRE] + self._reach[k] * regions[k][Y] - centre
        return complex(*along_axes(off, across, along))
