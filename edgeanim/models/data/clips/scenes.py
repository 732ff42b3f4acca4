"""Where a clip cuts from one scene to the next, and whether anything moves in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

_SIDE = 32
_CHANGED = 8
"""Levels of 255 by which a cell of the thumbnail is another one."""
_SHARE = 0.3
"""Of all cells, more of which change in a cut. In clips of people signing before a wall at most
0.22 change from frame to frame, and at least 0.35 from one clip to one of somebody else there."""
_AROUND = 24
_RATIO = 3.0
"""Of the change to what is usual for large ones around it (the 90th percentile, and a level more).
Measured by hand, 2.4 is the most in those clips and in that of a bird whose camera is carried
about, 3.4 the least from one person's to another's. So what jumps in every frame, as drawings do,
is no cut."""


class SceneFinder:
    """Watches a clip's pictures go by, and knows its scenes afterwards."""

    def __init__(self) -> None:
        self._before: NDArray[np.int16] | None = None
        self._changes: list[tuple[float, float]] = []
        self._count = 0

    def watch(self, pictures: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """`pictures`, uint8 [H, W, 3] of one size, as they come."""
        for picture in pictures:
            thumbnail = _thumbnail(picture)
            if self._before is not None:
                change = np.abs(thumbnail - self._before).max(axis=2)
                self._changes.append((float(change.mean()), float((change > _CHANGED).mean())))
            self._before = thumbnail
            self._count += 1
            yield picture

    def scenes(self) -> list[range]:
        """The numbers of the frames of each scene, in their order: one range if there is no cut."""
        change = np.array([mean for mean, _ in self._changes])
        cuts = [
            number
            for number, (mean, share) in enumerate(self._changes, 1)
            if share > _SHARE and mean > _RATIO * (1 + self._usual(change, number - 1))
        ]
        return [range(*ends) for ends in zip((0, *cuts), (*cuts, self._count), strict=True)]

    @staticmethod
    def _usual(change: NDArray[np.float64], at: int) -> float:
        around = np.concatenate([change[max(0, at - _AROUND) : at], change[at + 1 :][:_AROUND]])
        return float(np.percentile(around, 90)) if len(around) else np.inf


def anything_moves(pictures: NDArray[np.uint8]) -> bool:
    """Whether any cell of a thumbnail becomes another one after the first of `pictures`, uint8
    [T, H, W, 3]: a blink does that, and a camera's noise does not."""
    first = _thumbnail(pictures[0])
    return any((np.abs(_thumbnail(each) - first) > _CHANGED).any() for each in pictures[1:])


def _thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.int16]:
    import cv2

    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.int16)
