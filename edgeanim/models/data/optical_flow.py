"""Optical flow between two frames of a real clip, where forward and backward flow are consistent.

Reconstruction alone teaches a flow only where it is nearly right already: a hand that is off by
more than its width gets no gradient that leads to it. Dense inverse search (Kroeger et al. 2016)
finds the place by looking for it. It is believed where the round trip of forward and backward flow
ends where it began and the warped still looks like the frame; where neither holds, the place is
occluded in the still and must be painted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_SIDE = 192
"""Side in pixels at which frames are compared: finer than networks see, so that fingers count."""
_CONSISTENT = (1.5, 0.08)
"""A flow is consistent if following it there and back ends within this many pixels of `_SIDE`, plus
this share of its length."""
_SAME, _DIFFERENT = 0.06, 0.12
"""Mean differences, in 0..1: up to one a warped place is the same, above the other it is not."""
Values = NDArray[np.float32]


class ConsistentFlow(NamedTuple):
    """`flow` float32 [2, s, s], offsets from driving pixels into the still, in half pictures; and
    float32 [1, s, s] of 0 and 1: `flow_weight` where it is to be believed, `visible` where the
    still shows the place, `visible_weight` where it is known whether it does."""

    flow: Values
    flow_weight: Values
    visible: Values
    visible_weight: Values


def consistent_flow(still: Values, driving: Values, side: int) -> ConsistentFlow:
    """The flow between two pictures [3, h, w] in 0..1, on a grid of `side` x `side`."""
    import cv2

    colours = [_resized(picture) for picture in (driving, still)]
    target, source = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in colours)
    # One of its own: it holds buffers, and batches are drawn in several threads.
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forward, backward = finder.calc(target, source, None), finder.calc(source, target, None)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
    to_x, to_y = x + forward[..., 0], y + forward[..., 1]
    round_trip = _at(backward, to_x, to_y) + forward
    miss = np.hypot(round_trip[..., 0], round_trip[..., 1])
    error = cv2.absdiff(_at(colours[1], to_x, to_y), colours[0]).mean(2) / 255
    error = cv2.GaussianBlur(error.astype(np.float32), (0, 0), 3)
    inside = (to_x >= 0) & (to_x < _SIDE) & (to_y >= 0) & (to_y < _SIDE)
    consistent = inside & (
        miss < _CONSISTENT[0] + _CONSISTENT[1] * np.hypot(forward[..., 0], forward[..., 1])
    )
    found = consistent & (error < _SAME)
    occluded = ~consistent & (error > _DIFFERENT)
    shares = [_shrunk(mask.astype(np.float32), side) for mask in (found, occluded)]
    trusted, gone = (share > 0.5 for share in shares)
    # Offsets of confirmed pixels only: the mean over a contour would point to neither side.
    sums = _shrunk(forward * found[..., None], side) * (2 / _SIDE)
    flow = (sums / np.maximum(shares[0], 1e-6)[..., None] * trusted[..., None]).transpose(2, 0, 1)
    masks = (trusted, ~gone, trusted | gone)
    return ConsistentFlow(np.ascontiguousarray(flow), *(m[None].astype(np.float32) for m in masks))


def _resized(picture: Values) -> NDArray[np.uint8]:
    import cv2

    levels = (picture.transpose(1, 2, 0) * 255).astype(np.uint8)
    resized: NDArray[np.uint8] = cv2.resize(levels, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    return resized


def _at(values: Any, x: Values, y: Values) -> Any:
    import cv2

    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _shrunk(values: Values, side: int) -> Values:
    import cv2

    shrunk: Values = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
    return shrunk
