"""Motion refined: what a model makes of it is held against what its driver shows.

The regions of a frame are read at one glance and are off by some pixels. But where a driver's first
frame is the still, a model's own frame tells: it should be the driver's. So the motion is changed
until the two are as near as they come (analysis by synthesis), by Levenberg's and Marquardt's
method (Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", 1963). Over
six numbers p a region, the changes to its motion, it minimises

    mean_i v_i h(r_i(p)) + 1/2 sum_j w_j (a p_j^2 + b (p_j - q_j)^2)

r are the differences between both pictures in levels and h is Huber's loss. v is the contrast
around a pixel of the driver's picture, as a standard deviation over its mean: where a picture is
textured, its structure tells how it has moved; where it is plain, light and shade make most of the
difference. q is the p of the frame before: what is read is off in the same way from frame to frame,
and what neither picture decides stays as it was read. The pictures are shrunk first: then a slope
is as wide as a motion may be off. Derivatives are differences between frames that the model makes,
six a region and step, so it runs on any backend and wherever the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.runtime.execution import timed
from edgeanim.runtime.following import Step
from edgeanim.runtime.pictures import flatten, scaled
from edgeanim.runtime.scene import Picture

REFINE = "refine"
_STILL = 128
"""Pixels of the larger side of a still that is warped anew for every motion that is tried."""
_GRID = 64
"""Pixels a side, whatever the pictures' shape, on which they are compared."""
_WINDOW = 5
"""Pixels a side of the square over which a picture's contrast is taken."""
_PLAIN = 10.0
"""The contrast, in levels, of which plain areas have no less: they count a little, too."""
_STEPS = 4
_PROBE = 0.05
"""By how much a number is changed to see what comes of it."""
_FARTHEST = 0.5
"""Most by which a number changes in a step: derivatives hold no farther."""
_DAMPING = (0.01, 0.1, 1.0, 10.0)
"""Of these the one is taken after which the next is worse."""
_KNEE = 40.0
"""Levels from which on Huber's loss is linear: what a model cannot show must not pull at all."""
_AS_READ, _AS_BEFORE = 100.0, 10.0
"""a and b above: so strong that what is decided by a picture's own texture stays as it was read.
Weaker by far, a clip's own frames come nearer still, but what fits one body distorts another."""
_STIFFNESS = np.array([1.0, 1.0, 5.0, 10.0, 10.0, 10.0])
"""w above, for the same reason: places give way more than angles, and those more than shapes."""
_LEAST = 0.01
"""A region whose size, the root of its affine's determinant, is not above this is not there."""
_WORTH = 0.999
"""A step must bring the loss below so much of what it was."""

Numbers = NDArray[np.float64]
Make = Callable[[int, Array], Picture]
"""What a model makes, at the moment with this number, of a motion [1, K, 6]."""


def refined_steps(steps: Iterator[Step], make: Make) -> Iterator[Step]:
    """The same steps with their motion refined; each takes the seconds of some hundred frames."""
    before: Numbers | None = None
    for index, step in enumerate(steps):
        assert step.motion is not None
        with timed(step.timings, REFINE):
            shown = _shrunk(step.sight["driving_frame"].picture)
            before = _Search(partial(make, index), step.motion, shown, before).best()
            motion = moved(step.motion, before)
        yield step._replace(motion=motion)


def small_still(still: Picture) -> Picture:
    """A still as it is warped to try motions: in the same shape, to the pixel."""
    scale = min(1, _STILL / max(still.shape[:2]))
    height, width = (max(1, round(scale * side)) for side in still.shape[:2])
    return scaled(still, (height, width))


def moved(motion: Array, change: Numbers) -> Array:
    """`motion` [1, K, 6] with regions changed by `change` [K, 6]: the centre shifted along both of
    the region's own axes, in their lengths; the region turned, in radians; its axes stretched, each
    by a share of itself, and sheared. Where it is zero nothing changes."""
    axes = motion[0, :, 2:].reshape(-1, 2, 2)
    cosine, sine = np.cos(change[:, 2]), np.sin(change[:, 2])
    turn = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    x, y, shear = change[:, 3:].T
    shape = np.stack([1 + x, shear, shear, 1 + y], axis=1).reshape(-1, 2, 2)
    centre = motion[0, :, :2] + np.einsum("kij,kj->ki", axes, change[:, :2])
    changed = np.concatenate([centre, (turn @ axes @ shape).reshape(-1, 4)], axis=1)
    return changed[None].astype(np.float32)


class _Tried(NamedTuple):
    """A change [K, 6], the differences that it leaves [n] and the loss."""

    change: Numbers
    off: Array
    loss: float


class _Search:
    """The change of one motion [1, K, 6] that brings what `make` makes of it nearest to `shown`,
    beginning with the change of the frame `before`."""

    def __init__(
        self, make: Callable[[Array], Picture], motion: Array, shown: Array, before: Numbers | None
    ) -> None:
        self._make, self._motion, self._shown = make, motion, shown
        self._weights = _contrast(shown)
        determinants = np.linalg.det(motion[0, :, 2:].reshape(-1, 2, 2))
        there = np.abs(determinants) > _LEAST**2
        count = len(there)
        self._free = np.flatnonzero(np.repeat(there, 6))
        self._before = np.zeros((count, 6)) if before is None else before * there[:, None]
        self._stiffness = np.tile(_STIFFNESS, count)[self._free]

    def best(self) -> Numbers:
        now = self._try(self._before)
        for _ in range(_STEPS if len(self._free) else 0):
            found = self._step(now)
            if found.loss >= _WORTH * now.loss:
                break
            now = found
        return now.change

    def _try(self, change: Numbers) -> _Tried:
        off = _shrunk(self._make(moved(self._motion, change))) - self._shown
        far = np.abs(off)
        losses = np.where(far < _KNEE, off * off / 2, _KNEE * (far - _KNEE / 2)) * self._weights
        kept, steady = self._pulls(change)
        pull = float((self._stiffness * (_AS_READ * kept**2 + _AS_BEFORE * steady**2)).sum())
        return _Tried(change, off, float(losses.mean()) + pull / 2)

    def _step(self, now: _Tried) -> _Tried:
        """The best of the steps from `now`, by how strongly they are damped."""
        slopes = np.stack([self._slope(now, number) for number in self._free.tolist()])
        linear = np.minimum(1, _KNEE / np.maximum(np.abs(now.off), _KNEE / 1e6))
        weighed = slopes * (self._weights * linear)
        curvature = (weighed @ slopes.T).astype(np.float64) / now.off.size
        kept, steady = self._pulls(now.change)
        slope = weighed @ now.off / now.off.size
        slope = slope + self._stiffness * (_AS_READ * kept + _AS_BEFORE * steady)
        pull = self._stiffness * (_AS_READ + _AS_BEFORE)
        best: _Tried | None = None
        for damping in _DAMPING:
            damped = curvature + np.diag(damping * np.diag(curvature) + pull)
            step = np.linalg.solve(damped, -slope).clip(-_FARTHEST, _FARTHEST)
            tried = self._try(self._changed(now.change, self._free, step))
            if best is not None and tried.loss > best.loss:
                break
            best = tried
        assert best is not None
        return best

    def _slope(self, now: _Tried, number: int) -> Array:
        """How the differences change with one number."""
        probed = self._changed(now.change, number, _PROBE)
        made = _shrunk(self._make(moved(self._motion, probed)))
        return (made - self._shown - now.off) / np.float32(_PROBE)

    def _pulls(self, change: Numbers) -> tuple[Numbers, Numbers]:
        """How far the numbers are from what was read, and from the frame before."""
        return change.ravel()[self._free], (change - self._before).ravel()[self._free]

    @staticmethod
    def _changed(change: Numbers, numbers: NDArray[np.intp] | int, by: Numbers | float) -> Numbers:
        changed = change.copy()
        changed.ravel()[numbers] += by
        return changed


def _shrunk(picture: Picture) -> Array:
    """A picture's levels, float32 [_GRID * _GRID * 3]."""
    import cv2

    small = cv2.resize(flatten(picture), (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    levels: Array = small.astype(np.float32).ravel()
    return levels


def _contrast(levels: Array) -> Array:
    """How much each of a shrunk picture's levels counts: the standard deviation of those around its
    pixel, float32 of their shape, 1 in the mean."""
    import cv2

    picture = levels.reshape(_GRID, _GRID, 3)
    window = (_WINDOW, _WINDOW)
    mean = cv2.blur(picture, window)
    variance = (cv2.blur(picture * picture, window) - mean * mean).mean(-1, keepdims=True)
    contrast = np.sqrt(np.maximum(variance, 0) + np.float32(_PLAIN**2))
    weights: Array = np.broadcast_to(contrast / contrast.mean(), picture.shape).ravel()
    return weights
