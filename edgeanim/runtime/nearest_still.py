"""Which of several stills of one character a frame is made of: the one whose pose is nearest.

What one still does not show, a network has to paint, and a small one paints a hand as a smudge.
Another still, in another pose, shows it. The nearest is also moved the least, so all of it is
sharper. A change from one still to the next would be seen as a jump, so it happens only where it is
worth it, and then over some frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeanim.core.artifact import Array

_FIRST = 0.6
"""Of its distance counts of the first still. It is the one that is animated, and what is seen of
another in a pose no nearer than that, a shadow or a fold, differs by more than is won."""
_NEARER = 0.85
"""Another still takes over where its pose is nearer than this share of the present one's distance:
of two that are as near as each other none takes over from frame to frame."""
_FADE = 2
"""Frames that are mixed of both stills when one takes over."""

Shares = tuple[tuple[int, float], ...]
"""Numbers of stills, and how much of each a frame has: 1 in all."""


class NearestStill:
    """Chooses among stills with these `poses` (each a motion [1, K, 6]), frame after frame; the
    first is the one that is animated, the others show the same character."""

    def __init__(self, poses: Sequence[Array]) -> None:
        self._poses = np.concatenate(poses)
        self._now = self._before = self._left = 0
        self._motion: Array | None = None

    def shares(self, motion: Array) -> Shares:
        """What the next frame, with this `motion` [1, K, 6], is made of: one still, or two while
        one takes over from the other. Where the motion has gone farther since the last frame than
        the new still is from it, as after a cut, a jump is not seen, and so nothing is mixed."""
        distances = distance(self._poses, motion)
        distances[0] *= _FIRST
        nearest = int(np.argmin(distances))
        if self._motion is None:
            self._now = nearest
        elif distances[nearest] < _NEARER * distances[self._now]:
            hidden = distance(self._motion, motion)[0] > distances[nearest]
            self._before, self._now, self._left = self._now, nearest, 0 if hidden else _FADE
        self._motion = motion.copy()
        if not self._left:
            return ((self._now, 1.0),)
        old = self._left / (_FADE + 1)
        self._left -= 1
        return ((self._now, 1 - old), (self._before, old))


def distance(poses: Array, motion: Array) -> Array:
    """How far the regions of each of `poses` [N, K, 6] and of `motion` [1, K, 6] lie apart: [N], in
    grid units. Of each region it is the root of the mean squared way between the points c + A u,
    |u| = 1, of its outline, averaged over the regions. Each counts by its size, the root of its
    affine's determinant; where all are points, they count alike."""
    change = poses - motion
    ways = np.sqrt((change[:, :, :2] ** 2).sum(2) + (change[:, :, 2:] ** 2).sum(2) / 2)
    sizes = np.maximum(_sizes(poses), _sizes(motion))
    weights = np.where(sizes.any(axis=1, keepdims=True), sizes, np.float32(1))
    mean: Array = (ways * weights).sum(1) / weights.sum(1)
    return mean


def _sizes(motion: Array) -> Array:
    a, b, c, d = (motion[:, :, number] for number in range(2, 6))
    sizes: Array = np.sqrt(np.abs(a * d - b * c))
    return sizes
