"""Disocclusion: where what a still shows has gone by another frame, so that ghosts can be seen.

That is less than where the two differ: where a limb *arrives* the still shows what is behind it,
and an animator that leaves that there has lost a limb, but made no ghost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.pairs import MASK_STRIDE, Pair
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.evaluation.similarity import Mask
from edgeanim.models.regions import BACKGROUND

_SAME_LEVEL = 15


def enlarged(mask: NDArray[np.bool_]) -> Mask:
    """A mask [h/4, w/4] at the pictures' size, as 0 and 1."""
    return np.kron(mask, np.ones((MASK_STRIDE, MASK_STRIDE))).astype(np.float32)


def disoccluded_where_known(pair: Pair) -> Mask:
    """1 [h, w] where the still shows a character's part, and the driving frame what it hid."""
    return enlarged((pair.label_still != BACKGROUND) & (pair.visible[0] == 0))


class ClipDisocclusion:
    """The same of a clip without masks, by what recurs: the driving frame shows at a pixel what the
    clip shows there more often than what the still shows, within 15 of 255 levels of luma.

    What a passing limb covers is seen in most frames, the limb in few. Of a limb that rests for
    most of the clip the place that it left is not found, nor is any if everything turns.
    """

    def __init__(self, sequence: FrameSequence, still: int, sample: tuple[int, ...]) -> None:
        self._sequence = sequence
        self._sample = np.stack([_luma(sequence.pictures[i]) for i in sample])
        self._like_still = self._recurrence(still)

    def area(self, driver: int, size: int) -> Mask:
        """1 where what the still shows has gone by the frame `driver`: [size, size]."""
        import cv2

        gone = (self._recurrence(driver) > self._like_still).astype(np.float32)
        resized: Mask = cv2.resize(gone, (size, size), interpolation=cv2.INTER_NEAREST)
        return resized

    def _recurrence(self, frame: int) -> NDArray[np.int64]:
        """In how many frames of the sample a pixel is as it is in `frame`."""
        import cv2

        luma = _luma(self._sequence.pictures[frame])
        counts: NDArray[np.int64] = sum(
            (cv2.absdiff(other, luma) < _SAME_LEVEL).astype(np.int64) for other in self._sample
        )
        return counts


def _luma(picture: NDArray[Any]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
