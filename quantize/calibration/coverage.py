"""Which frames to calibrate on: those that cover the brightness, the colours and the motion best.

Frames of a clip are mostly alike, so evenly spread ones see the rare bright or fast moments seldom.
Here each next frame is the one farthest from all chosen so far (k-center; Gonzalez, 1985), by cheap
features, of which any number of frames needs a few numbers each. Where frames have to follow each
other, they are spread evenly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Picture = NDArray[np.uint8]

RUN = 4
"""Frames that follow each other, where what changed since the one before is seen."""
_SIDE = 6


def frame_features(frames: Iterable[Picture]) -> Floats:
    """Features of each frame, [N, D], of frames uint8 [H, W, 3 or 4] of one size or several:
    a thumbnail's colours, brightness, contrast, and the motion since the frame before."""
    import cv2

    rows = []
    before: NDArray[np.float32] | None = None
    for frame in frames:
        small = cv2.resize(frame[..., :3], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        now = small.astype(np.float32) / 255
        motion = 0.0 if before is None else float(np.abs(now - before).mean())
        spread = float(frame[..., :3].std()) / 255
        rows.append([*now.ravel() / _SIDE, float(now.mean()) * 2, spread * 2, motion * 4])
        before = now
    return np.array(rows, np.float64)


def k_center(features: Floats, count: int) -> Indices:
    """The indices, in ascending order, of `count` rows of [N, D] that leave no other row far from
    all of them: at most twice as far as the best choice would. The first is nearest the mean."""
    if len(features) <= count:
        return np.arange(len(features))
    first = int(np.argmin(((features - features.mean(0)) ** 2).sum(1)))
    chosen = [first]
    nearest = ((features - features[first]) ** 2).sum(1)
    while len(chosen) < count:
        farthest = int(np.argmax(nearest))
        if nearest[farthest] == 0:  # only copies are left: take them as they come
            left = np.setdiff1d(np.arange(len(features)), chosen)[: count - len(chosen)]
            chosen.extend(left.tolist())
            break
        chosen.append(farthest)
        nearest = np.minimum(nearest, ((features - features[farthest]) ** 2).sum(1))
    return np.sort(np.array(chosen))


def thin(frames: Iterable[T], limit: int) -> list[T]:
    """At most `limit` frames, evenly spread, of a stream of unknown length, in bounded memory.

    Keeps every n-th frame and doubles n whenever twice as many as wanted have gathered.
    """
    kept: list[T] = []
    stride = 1
    for index, frame in enumerate(frames):
        if index % stride:
            continue
        kept.append(frame)
        if len(kept) >= 2 * limit:
            kept = kept[::2]
            stride *= 2
    return [kept[i] for i in evenly(len(kept), limit)]


def in_runs(length: int, count: int) -> Indices:
    """The indices of at most `count` of `length` things in runs of `RUN`, evenly spread from the
    first to the last: what is known of one includes what was before it."""
    if length <= count:
        return np.arange(length)
    starts = evenly(length - RUN + 1, max(1, count // RUN))
    return np.unique(starts[:, None] + np.arange(RUN))


def evenly(length: int, count: int) -> Indices:
    """The indices of at most `count` of `length` things, evenly spread from the first to the
    last."""
    if length <= count:
        return np.arange(length)
    return np.linspace(0, length - 1, count).round().astype(np.intp)
