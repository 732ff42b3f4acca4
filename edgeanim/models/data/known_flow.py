"""The flow of a pair where it is known beforehand: exactly, from the motion of a drawn character's
parts, or weakly, from a real clip's labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.augmentation import Affine
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE, homogeneous
from edgeanim.models.data.sequences import Parts
from edgeanim.models.regions import UNKNOWN

_SAME_PLACE = 2.0
"""Pixels between two places of a sheet that count as one: a place is looked up at whole pixels."""
_MOVING = (0, 4, 5)
"""Head and hands: the regions whose weak labels follow them as they move."""
_LEAST_PIXELS = 4
"""Fewer labelled pixels, of a mask, have no middle worth following."""


def exact_flow(
    parts: Parts, still: int, driving: int, shown: NDArray[np.uint8], to_mask: Affine
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow and visibility at the mask's resolution, from the transforms of the parts shown."""
    moves = _part_moves(parts.transforms[still], parts.transforms[driving])
    moves = to_mask @ moves @ np.linalg.inv(to_mask)
    side = len(shown)
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    here = np.stack([x, y, np.ones_like(x)], axis=-1)
    move = moves[np.minimum(shown, len(moves) - 1)]
    there = np.einsum("hwij,hwj->hwi", move, here)[..., :2]
    flow = ((there - here[..., :2]) * (2 / side)).astype(np.float32).transpose(2, 0, 1)
    canvas = _on_canvas(there, to_mask)
    pixel = np.rint(canvas).astype(int)
    inside = _inside(pixel)
    # Beyond its edges a turned picture repeats them, and a backdrop does so in both frames alike.
    inside |= ~_inside(np.rint(_on_canvas(here[..., :2], to_mask))) & (shown == NO_PART)
    pixel = np.clip(pixel, 0, SIZE - 1)
    found = parts.shown[still][pixel[..., 1], pixel[..., 0]]
    same = found == shown
    if parts.sheets is not None:
        flat, posed = parts.transforms[0], homogeneous(parts.transforms[still])
        back = _to_sheet(flat) @ np.linalg.inv(posed)
        same |= _same_place(parts.sheets, back, canvas, found, shown)
    return np.ascontiguousarray(flow), (inside & same).astype(np.float32)[None]


def weak_flow(
    still: NDArray[np.uint8], driving: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow, and where to believe it, from weak labels: a region's pixels come from where its middle
    was, without turn or stretch. Steady pixels, labelled alike in both frames, come from there."""
    side = len(still)
    flow = np.zeros((2, side, side), np.float32)
    trusted = (driving == still) & (driving != UNKNOWN)
    for region in _MOVING:
        there, here = (np.argwhere(labels == region) for labels in (still, driving))
        trusted[driving == region] = min(len(there), len(here)) >= _LEAST_PIXELS
        if len(there) and len(here):
            offset = (there.mean(0) - here.mean(0)) * (2 / side)
            flow[:, driving == region] = offset[::-1, None]
    return flow, trusted.astype(np.float32)[None]


def _on_canvas(places: NDArray[np.float64], to_mask: Affine) -> NDArray[np.float64]:
    """Places [h, w, 2] of the mask in pixels of the canvas."""
    back = np.linalg.inv(to_mask)
    canvas: NDArray[np.float64] = places @ back[:2, :2].T + back[:2, 2]
    return canvas


def _inside(pixel: NDArray[Any]) -> NDArray[np.bool_]:
    within: NDArray[np.bool_] = np.logical_and(pixel >= 0, pixel < SIZE)
    return within[..., 0] & within[..., 1]


def _same_place(
    sheets: NDArray[np.uint8],
    back: NDArray[np.float64],
    canvas: NDArray[np.float64],
    found: NDArray[np.uint8],
    shown: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """Whether the part that the still shows at `canvas` is cut from the same sheet as the part
    looked for, and shows nearly the same place of it: two pieces of one limb, side by side. `back`
    [P, 3, 3] leads from the canvas to each part's sheet."""
    sheet = np.full(NO_PART + 1, -1)
    sheet[: len(sheets)] = sheets
    here = np.concatenate([canvas, np.ones_like(canvas[..., :1])], axis=-1)
    last = len(back) - 1
    one, other = (
        np.einsum("hwij,hwj->hwi", back[np.minimum(parts, last)], here)[..., :2]
        for parts in (found, shown)
    )
    near = np.abs(one - other).max(-1) < _SAME_PLACE
    same: NDArray[np.bool_] = near & (sheet[found] == sheet[shown]) & (sheet[shown] >= 0)
    return same


def _to_sheet(first: NDArray[np.float32]) -> NDArray[np.float64]:
    """From what the transforms [P, 2, 3] of frame 0 are from to the sheet, in pixels about as large
    as that frame's.

    A drawing lies flat in frame 0: each part's axes are just turned there. The frame 0 of people is
    a pose like any, where one side hides another; all of their transforms are from the sheet.
    """
    if not first[..., 2].any():
        return homogeneous(first)
    scale = np.sqrt(np.median(np.abs(np.linalg.det(first[..., :2]))))
    return np.diag([scale, scale, 1.0])


def _part_moves(still: NDArray[np.float32], driving: NDArray[np.float32]) -> Affine:
    """From driving canvas pixels to still canvas pixels for each part [P + 1, 3, 3]; last: none."""
    count = len(still)
    moves = np.tile(np.eye(3), (count + 1, 1, 1))
    moves[:count] = homogeneous(still) @ np.linalg.inv(homogeneous(driving))
    assert count < NO_PART
    return moves
