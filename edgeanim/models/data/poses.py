"""Real clips in other poses: hands where the clip never shows them.

A character is adapted to from some seconds, and then moved as they were not seen to move. So hands
and head of the driving frame are carried a little way, and draw sleeves and neck along, before the
backdrop as other frames of the clip show it. Optical flow is searched in what comes out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.mattes import covered
from edgeanim.models.data.sequences import FrameSequence, three_of
from edgeanim.models.regions import REGIONS

_POSED = 0.5
"""How often a pair is posed anew."""
_MOVED = {"forearm and hand, left": 1.0, "forearm and hand, right": 1.0, "head": 0.25}
"""What is carried away, and how far as a share of what a hand may be."""
_REACH = (14.0, 28.0)
"""How far round its middle a region draws along what is there: deviations in pixels."""
_FAR = (0.75, 1.1)
"""Deviation of a hand's way, and the longest, in reaches: at 1.6 the picture would fold."""
_SHOWN = 12
"""Pixels of a region without which it is not in the frame."""
_RESTS = 0.25
"""Pixels by which a place may move and keep its own backdrop, which no other frame knows better."""
Field = NDArray[np.float32]


def posed(
    clip: FrameSequence, ends: tuple[int, int], rng: np.random.Generator
) -> tuple[FrameSequence, tuple[int, int]]:
    """A clip whose pair of a still and a driving frame, `ends`, has the second in a pose of its
    own, as has the frame before it; and the ends in that clip. Half of the pairs stay as they are,
    and so does a clip in which nobody was cut out."""
    if clip.weak_labels is None or clip.mattes is None or clip.backdrop is None:
        return clip, ends
    if rng.uniform() >= _POSED:
        return clip, ends
    three, ends = three_of(clip, ends)
    assert three.weak_labels is not None
    assert three.mattes is not None
    grid, moved = _bend(three.weak_labels[ends[1]], rng)
    parts = (np.asarray(three.pictures), three.weak_labels, three.mattes)
    pictures, labels, mattes = (
        np.stack([each[0], *(_bent(each[i], grid, nearest=each.ndim == 3) for i in (1, 2))])
        for each in parts
    )
    bare = (mattes == 0) & moved
    bare[0] = False  # the still stays as it is
    backdrop = np.broadcast_to(clip.backdrop, pictures.shape)
    pictures = covered(pictures, backdrop, bare)
    return replace(three, pictures=pictures, weak_labels=labels, mattes=mattes), ends


def _bend(labels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Field, NDArray[np.bool_]]:
    """Where each pixel of a frame with these labels [S, S] comes from, [S, S, 2], and whether it
    comes from elsewhere."""
    side = len(labels)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).astype(np.float32)
    carried, weights = np.zeros_like(grid), np.zeros((side, side, 1), np.float32)
    for region, share in _MOVED.items():
        shown = np.argwhere(labels == REGIONS.index(region))
        reach, way = rng.uniform(*_REACH), rng.normal(0, _FAR[0], 2)
        if len(shown) < _SHOWN:
            continue
        way *= share * reach * min(1, _FAR[1] / float(np.hypot(*way)))
        away = grid - (shown.mean(0)[::-1] + way)
        weight = np.exp(-(away**2).sum(-1, keepdims=True) / (2 * reach**2)).astype(np.float32)
        carried += weight * way.astype(np.float32)
        weights += weight
    # Hands that touch are carried together, not twice as far.
    carried /= np.maximum(weights, 1)
    return grid - carried, np.abs(carried).max(-1) > _RESTS


def _bent(values: NDArray[np.uint8], grid: Field, *, nearest: bool) -> NDArray[np.uint8]:
    import cv2

    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    bent: NDArray[np.uint8] = cv2.remap(values, grid, None, how, borderMode=cv2.BORDER_REPLICATE)
    return bent
