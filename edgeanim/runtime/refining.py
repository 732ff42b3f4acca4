"""Motion refined: what a model makes of it is held against what its driver shows.

The regions of a frame are read at one glance and are off by some pixels. But a driver's first frame
is a still whose true frames are known, so a model's own frame tells: it should be the driver's. So
the motion is changed until the two are as near as they come (analysis by synthesis), by Levenberg's
and Marquardt's method (Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear
Parameters", 1963). Over six numbers p a region, the changes to its motion, it minimises

    mean_i v_i h(r_i(p)) + 1/2 sum_j w_j (a p_j^2 + b (p_j - q_j)^2)

r are the differences between both pictures in levels and h is Huber's loss. v is the contrast
around a pixel of the driver's picture, as a standard deviation over its mean: where a picture is
textured, its structure tells how it has moved; where it is plain, light and shade make most of the
difference. q is the p of the frame before: what is read is off in the same way from frame to frame,
and what neither picture decides stays as it was read. The pictures are shrunk first: then a slope
is as wide as a motion may be off.

Derivatives are differences between frames that the model makes, so it runs on any backend and
wherever the model does. To be fast enough for a camera it makes few:

- Regions that lie apart are changed together, and each pixel's difference is that of the region it
  is nearest to, as columns of a sparse Jacobian share an evaluation (Curtis, Powell and Reid, "On
  the Estimation of Sparse Jacobian Matrices", 1974).
- Each step is taken after a part of the derivatives has been measured anew, in turn, and the others
  are those of a moment ago: a frame's are nearly those of the frame before it.
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
_GROUPS = 3
"""Of regions: what lies upon each other, as eyes and mouth in a head, is kept apart by so many."""
_NUMBERS = 6
"""Of a region's change: where it is and its angle, and then its shape."""
_HALVES = ((0, 1, 2), (3, 4, 5))
"""Of these, the numbers of a group that are measured at a time."""
_ROUNDS = 3
"""Of a frame, at most; in each a step is taken for every group, after half its numbers have been
measured. What rests or moves steadily is done after one."""
_WORTH = 0.98
"""A round that leaves more of the loss than this is the last: the next would hardly be seen."""
_PROBE = 0.05
"""By how much a number is changed to see what comes of it."""
_FARTHEST = 0.5
"""Most by which a number changes in a step: derivatives hold no farther."""
_DAMPING = 0.03
"""Of the curvature along each number. Steps that do not lead down are not taken; the next follows
other derivatives in any case, so nothing is won by trying more of them."""
_KNEE = 40.0
"""Levels from which on Huber's loss is linear: what a model cannot show must not pull at all."""
_AS_READ, _AS_BEFORE = 100.0, 10.0
"""a and b above: so strong that what is decided by a picture's own texture stays as it was read.
Weaker by far, a clip's own frames come nearer still, but what fits one body distorts another."""
_STIFFNESS = np.array([1.0, 1.0, 5.0, 10.0, 10.0, 10.0])
"""w above, for the same reason: places give way more than angles, and those more than shapes."""
_PIECE = 64
"""Levels that are summed up at a time."""
_LEAST = 0.01
"""A region whose size, the root of its affine's determinant, is not above this is not there."""

Numbers = NDArray[np.float64]


class Trials(NamedTuple):
    """How motions are tried: `make` gives what a model makes, at the moment with this number, of a
    motion [1, K, 6], and `places` says where the pixels of that lie: left, top, right and bottom of
    the picture, in grid units."""

    make: Callable[[int, Array], Picture]
    places: tuple[float, float, float, float]


def refined_steps(steps: Iterator[Step], trials: Trials) -> Iterator[Step]:
    """The same steps with their motion refined; each takes the seconds of 13 to 37 frames."""
    refiner: _Refiner | None = None
    for step in steps:
        assert step.motion is not None
        with timed(step.timings, REFINE):
            refiner = refiner or _Refiner(trials, step.motion.shape[1])
            shown = _shrunk(step.moment.sight["driving_frame"].picture)
            motion = refiner.refined(step.moment.index, step.motion, shown)
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


class _Refiner:
    """Refines the motions of so many `regions` in a driver's frames, one after the other."""

    def __init__(self, trials: Trials, regions: int) -> None:
        self._make = trials.make
        self._pixels = _pixels(trials.places)
        self._change: Numbers = np.zeros((regions, _NUMBERS))
        self._slopes: Array = np.zeros((regions * _NUMBERS, _GRID * _GRID * 3), np.float32)
        """[K * 6, n]: how the differences change with each number, as last measured."""
        self._turn = 0

    def refined(self, index: int, motion: Array, shown: Array) -> Array:
        """The motion [1, K, 6] of the frame with this number, which shows the levels `shown`."""
        there = _are_there(motion)
        self._slopes[np.repeat(~there, _NUMBERS)] = 0
        loss = _Loss(partial(self._make, index), motion, shown, self._change * there[:, None])
        now = loss.begin()
        distances = _distances(moved(motion, now.change), self._pixels)
        groups = _apart(distances, np.flatnonzero(there))
        for _ in range(_ROUNDS if groups else 0):
            begun = now.loss
            for _ in range(_GROUPS):
                self._measure(loss, now, groups, distances)
                now = loss.step(now, self._slopes)
            if now.loss >= _WORTH * begun:
                break
        self._change = now.change
        return moved(motion, now.change)

    def _measure(self, loss: _Loss, now: _Tried, groups: list[list[int]], distances: Array) -> None:
        """Measure anew the slopes whose turn it is."""
        half, which = divmod(self._turn, len(groups))
        self._turn += 1
        group = groups[which]
        nearest = distances[group].argmin(axis=0)
        own = np.repeat(nearest == np.arange(len(group))[:, None], 3, axis=1)
        slopes = self._slopes.reshape(-1, _NUMBERS, now.off.size)
        for number in _HALVES[half % len(_HALVES)]:
            probed = now.change.copy()
            probed[group, number] += _PROBE
            slopes[group, number] = own * ((loss.off(probed) - now.off) / np.float32(_PROBE))


class _Tried(NamedTuple):
    """A change [K, 6], the differences that it leaves [n] and the loss."""

    change: Numbers
    off: Array
    loss: float


class _Loss:
    """What is minimised over the changes of one frame's motion [1, K, 6]; see above."""

    def __init__(
        self, make: Callable[[Array], Picture], motion: Array, shown: Array, before: Numbers
    ) -> None:
        self._make, self._motion, self._shown, self._before = make, motion, shown, before
        self._weights = _contrast(shown)
        self._stiffness = np.tile(_STIFFNESS, len(before))

    def begin(self) -> _Tried:
        """With the change of the frame before."""
        return self._try(self._before)

    def off(self, change: Numbers) -> Array:
        """The differences between what is made of the changed motion and what is shown, [n]."""
        return _shrunk(self._make(moved(self._motion, change))) - self._shown

    def step(self, now: _Tried, slopes: Array) -> _Tried:
        """A step from `now`, or `now` if it does not lead down; `slopes` [K * 6, n]."""
        linear = np.minimum(1, _KNEE / np.maximum(np.abs(now.off), _KNEE / 1e6))
        roots = np.sqrt(self._weights * linear / np.float32(now.off.size))
        curvature, slope = _products(slopes * roots, roots * now.off)
        kept, steady = self._pulls(now.change)
        slope = slope + self._stiffness * (_AS_READ * kept + _AS_BEFORE * steady)
        pull = self._stiffness * (_AS_READ + _AS_BEFORE)
        damped = curvature + np.diag(_DAMPING * np.diag(curvature) + pull)
        step = np.linalg.solve(damped, -slope).clip(-_FARTHEST, _FARTHEST)
        tried = self._try(now.change + step.reshape(now.change.shape))
        return tried if tried.loss < now.loss else now

    def _try(self, change: Numbers) -> _Tried:
        off = self.off(change)
        far = np.abs(off)
        losses = np.where(far < _KNEE, off * off / 2, _KNEE * (far - _KNEE / 2)) * self._weights
        kept, steady = self._pulls(change)
        pull = float((self._stiffness * (_AS_READ * kept**2 + _AS_BEFORE * steady**2)).sum())
        return _Tried(change, off, float(losses.mean()) + pull / 2)

    def _pulls(self, change: Numbers) -> tuple[Numbers, Numbers]:
        """How far the numbers are from what was read, and from the frame before."""
        return change.ravel(), (change - self._before).ravel()


def _products(slopes: Array, off: Array) -> tuple[Numbers, Numbers]:
    """`slopes @ slopes.T` and `slopes @ off` of [m, n] and [n], [m, m] and [m].

    In pieces so small that BLAS gives none to threads of its own: there is little to be won, and
    between one product and the next they would keep the other cores busy with waiting.
    """
    rows = len(slopes)
    pieces = slopes.reshape(rows, -1, _PIECE).transpose(1, 0, 2)
    curvature = np.matmul(pieces, pieces.transpose(0, 2, 1)).sum(axis=0)
    slope = np.matmul(pieces, off.reshape(-1, _PIECE, 1)).sum(axis=0)
    return curvature.astype(np.float64), slope[:, 0].astype(np.float64)


def _pixels(places: tuple[float, float, float, float]) -> Array:
    """Of the pixels that are compared x, y and 1, float32 [3, _GRID * _GRID]."""
    left, top, right, bottom = places
    share = (np.arange(_GRID) + 0.5) / _GRID
    x, y = np.meshgrid(left + (right - left) * share, top + (bottom - top) * share)
    return np.stack([x.ravel(), y.ravel(), np.ones(x.size)]).astype(np.float32)


def _are_there(motion: Array) -> NDArray[np.bool_]:
    """Which regions have an area, [K]."""
    there: NDArray[np.bool_] = np.abs(np.linalg.det(motion[0, :, 2:].reshape(-1, 2, 2))) > _LEAST**2
    return there


def _distances(motion: Array, pixels: Array) -> Array:
    """The squared Mahalanobis distance of each pixel from each region, [K, n]. A region that has
    no area is far from all."""
    axes, there = motion[0, :, 2:].reshape(-1, 2, 2), _are_there(motion)
    inverse = np.linalg.inv(np.where(there[:, None, None], axes, np.eye(2, dtype=np.float32)))
    form = np.concatenate([inverse, -(inverse @ motion[0, :, :2, None])], axis=2)
    place = (form.reshape(-1, 3) @ pixels).reshape(len(form), 2, -1)
    distances: Array = np.where(there[:, None], np.square(place).sum(axis=1), np.inf)
    return distances


def _apart(distances: Array, regions: NDArray[np.intp]) -> list[list[int]]:
    """The `regions` in at most `_GROUPS` groups in which they lie as far apart as they come: the
    largest first, each joins those that it overlaps least."""
    near = np.exp(distances[regions] / -2)
    overlap = near @ near.T
    groups: list[list[int]] = [[] for _ in range(_GROUPS)]
    for each in np.argsort(-near.sum(axis=1)).tolist():
        min(groups, key=lambda group: float(overlap[each, group].sum())).append(each)
    return [regions[group].tolist() for group in groups if group]


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
