"""Who moves in a real clip, cut out of what lies behind them.

Weak labels say of a part of the pixels what they are. Graph cuts (Rother et al. 2004, "GrabCut")
settle the rest by colour. Frame by frame the cut wavers at a sleeve of the wall's colour, so pixels
that look as they usually do are settled by the vote of all frames in which they do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.clips.weak_labels import usual_picture
from edgeanim.models.regions import BACKGROUND, UNKNOWN

Masks = NDArray[np.uint8]
_NEAR = 25
"""Pixels of the canvas: unlabelled ones this near to somebody are more likely theirs than not."""
_ROUNDS = 3
_STEADY = 12
"""Grey levels within which a pixel looks as it usually does."""
_VOTES = 0.3
"""Share of frames that suffices for a pixel to be somebody's: cuts lose a limb more often than they
gain a wall."""
_VOTERS = 16
"""Frames that are cut to vote; every frame has its own cut besides."""


def mattes(pictures: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Masks:
    """Where somebody is, 255, and where not, 0: uint8 [T, S, S], for frames uint8 [T, S, S, 3] with
    their weak labels uint8 [T, S, S]."""
    import cv2

    usual = usual_picture(pictures)
    cuts = np.stack([_cut(*each) for each in zip(pictures, labels, strict=True)])
    steady = np.stack([cv2.absdiff(picture, usual).max(2) < _STEADY for picture in pictures])
    voters = slice(None, None, max(1, len(pictures) // _VOTERS))
    votes = (cuts & steady)[voters].sum(0)
    elected = votes > _VOTES * np.maximum(steady[voters].sum(0), 1)
    return np.where(np.where(steady, elected, cuts), 255, 0).astype(np.uint8)


def _cut(picture: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    import cv2

    somebody: NDArray[np.bool_] = (labels != UNKNOWN) & (labels != BACKGROUND)
    mask = np.full(labels.shape, cv2.GC_PR_BGD, np.uint8)
    near = cv2.dilate(somebody.astype(np.uint8), np.ones((_NEAR, _NEAR), np.uint8)) > 0
    mask[near] = cv2.GC_PR_FGD
    mask[somebody] = cv2.GC_FGD
    mask[labels == BACKGROUND] = cv2.GC_BGD
    if not somebody.any() or not (mask == cv2.GC_BGD).any():
        # Nothing to learn one of the two colours from.
        return somebody
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, mask, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found: NDArray[np.bool_] = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return found
