"""Training pairs: a still, a driving frame and its cue, augmented alike, with all that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.puppets import NO_PART, SIZE
from edgeanim.models.data.seen_flow import seen_flow
from edgeanim.models.data.sequences import FrameSequence, region_table
from edgeanim.models.regions import MIRRORED, UNKNOWN

_MASK_STRIDE = 4
_SAME_PLACE = 2.0
"""Pixels between two places of a sheet that count as one: a place is looked up at whole pixels."""
_MIRRORED_LABELS = np.arange(UNKNOWN + 1, dtype=np.uint8)
_MIRRORED_LABELS[: len(MIRRORED)] = MIRRORED
_MOVING = (0, 4, 5)
"""Head and hands: the regions whose weak labels follow them as they move."""
_PRIOR = 0.3
"""How much it counts that a clip's still shows all there is, where nobody knows."""
_LEAST_PIXELS = 4
"""Fewer labelled pixels, of a mask, have no middle worth following."""
Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Pictures float32 [3, h, w] in 0..1 (`cue` -1..1); labels uint8 [h/4, w/4];

    `direction_*` float32 [2, h/4, w/4]: the unit vector along which the part at a pixel points (the
    y axis of its sprite), 0 on the backdrop. `flow` float32 [2, h/4, w/4]: the exact offset from
    each driving pixel to its place in the still; `visible` float32 [1, h/4, w/4]: 1 where the still
    shows that place; `guided` float32 [1, h/4, w/4]: how much the flow is to be believed, and
    `judged` float32 [1, h/4, w/4]: how much the visibility is.

    `known` is 0 for a real clip, whose directions mean nothing. Its labels are `UNKNOWN` and its
    flow is not to be believed, but for what weak labels and optical flow tell.
    """

    still: NDArray[np.float32]
    driving: NDArray[np.float32]
    cue: NDArray[np.float32]
    label_still: NDArray[np.uint8]
    label_driving: NDArray[np.uint8]
    direction_still: NDArray[np.float32]
    direction_driving: NDArray[np.float32]
    flow: NDArray[np.float32]
    visible: NDArray[np.float32]
    guided: NDArray[np.float32]
    judged: NDArray[np.float32]
    known: NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """A similarity of the canvas, perhaps mirrored, and a colour change; the same for a whole pair.

    `matrix` [3, 3] takes canvas pixels (256 to a side) to canvas pixels. `gain` and `shift` [3]
    change the colours, whose channels `channels` reorders.
    """

    matrix: Affine
    mirrored: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: tuple[int, int, int] = (0, 1, 2)


PLAIN = Augmentation(np.eye(3))


def similarity(
    angle: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    *,
    mirrored: bool = False,
) -> Affine:
    """Turn (radians), scale, mirror about the canvas centre, then shift (pixels): [3, 3]."""
    centre = (SIZE - 1) / 2
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    sign = -1.0 if mirrored else 1.0
    turn = np.array([[cos * sign, -sin, 0], [sin * sign, cos, 0], [0, 0, 1]])
    to = np.array([[1, 0, centre + shift[0]], [0, 1, centre + shift[1]], [0, 0, 1]])
    back = np.array([[1, 0, -centre], [0, 1, -centre], [0, 0, 1]])
    result: Affine = to @ turn @ back
    return result


def random_augmentation(rng: np.random.Generator) -> Augmentation:
    """Mild turns, scales and shifts; half of the pairs mirrored; colours changed in most."""
    mirrored = bool(rng.uniform() < 0.5)
    shift = rng.uniform(-16, 16, 2)
    matrix = similarity(
        rng.uniform(-0.2, 0.2),
        rng.uniform(0.85, 1.3),
        (float(shift[0]), float(shift[1])),
        mirrored=mirrored,
    )
    gain, offset = rng.uniform(0.75, 1.25, 3), rng.uniform(-0.12, 0.12, 3)
    channels = rng.permutation(3) if rng.uniform() < 0.2 else np.arange(3)
    return Augmentation(
        matrix,
        mirrored,
        (float(gain[0]), float(gain[1]), float(gain[2])),
        (float(offset[0]), float(offset[1]), float(offset[2])),
        (int(channels[0]), int(channels[1]), int(channels[2])),
    )


def mirror_motion(motion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Motion [..., K, 6] of the mirrored picture: x and the shear change sign, sides swap."""
    signs = np.array([-1, 1, 1, -1, -1, 1], np.float32)
    return motion[..., list(MIRRORED), :] * signs


def make_pair(
    sequence: FrameSequence,
    still: int,
    driving: int,
    size: int,
    augmentation: Augmentation = PLAIN,
    *,
    optical_flow: bool = False,
) -> Pair:
    """The pair of frames `still` and `driving` of a sequence, at `size` pixels a side; with
    `optical_flow`, what that tells of a real clip (see `seen_flow`)."""
    to_output = _to_size(size) @ augmentation.matrix
    pictures = [
        _picture(sequence.pictures[i], to_output, size, augmentation)
        for i in (still, driving, sequence.before[driving])
    ]
    side = size // _MASK_STRIDE
    labels = [np.full((side, side), UNKNOWN, np.uint8)] * 2
    directions = [np.zeros((2, side, side), np.float32)] * 2
    flow = np.zeros((2, side, side), np.float32)
    visible = np.ones((1, side, side), np.float32)
    guided = np.zeros((1, side, side), np.float32)
    judged = np.full((1, side, side), _PRIOR, np.float32)
    to_mask = _to_size(side) @ augmentation.matrix
    if sequence.weak_labels is not None:
        shown = [_warp_labels(sequence.weak_labels[i], to_mask, side) for i in (still, driving)]
        labels = [_MIRRORED_LABELS[each] if augmentation.mirrored else each for each in shown]
        flow, guided = _weak_flow(*labels)
    elif sequence.parts is not None and sequence.regions is not None:
        table = region_table(sequence.regions)
        if augmentation.mirrored:
            table = _MIRRORED_LABELS[table]
        shown = [_warp_labels(sequence.parts[i], to_mask, side) for i in (still, driving)]
        labels = [table[parts] for parts in shown]
        directions = [
            _directions(sequence, i, parts, to_mask)
            for i, parts in zip((still, driving), shown, strict=True)
        ]
        flow, visible = _exact_flow(sequence, still, driving, shown[1], to_mask)
        guided, judged = visible, np.ones_like(visible)
    if optical_flow and sequence.parts is None:
        seen = seen_flow(pictures[0], pictures[1], side)
        # Where a search loses a hand, its middle is still known; where it is found, so are fingers.
        flow = np.where(seen.guided > 0, seen.flow, flow)
        guided = np.maximum(guided, seen.guided)
        visible, judged = np.maximum(seen.visible, guided), np.maximum(seen.judged, guided)
    return Pair(
        pictures[0],
        pictures[1],
        pictures[1] - pictures[2],
        labels[0],
        labels[1],
        directions[0],
        directions[1],
        flow,
        visible,
        guided,
        judged,
        np.array([sequence.parts is not None], np.float32),
    )


def _to_size(size: int) -> Affine:
    """Canvas pixels to the pixels of a picture of `size`; pixel centres are at whole numbers."""
    ratio = size / SIZE
    offset = ratio / 2 - 0.5
    return np.array([[ratio, 0, offset], [0, ratio, offset], [0, 0, 1]])


def _picture(
    picture: NDArray[np.uint8], matrix: Affine, size: int, augmentation: Augmentation
) -> NDArray[np.float32]:
    import cv2

    # Bilinear sampling at less than half the size would alias: shrink by area first.
    while matrix[:2, :2].max() < 0.35 and min(picture.shape[:2]) > size:
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    warped = cv2.warpAffine(
        picture, matrix[:2], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    values = warped[:, :, list(augmentation.channels)].astype(np.float32) * (1 / 255)
    values = values * np.array(augmentation.gain, np.float32)
    values += np.array(augmentation.shift, np.float32)
    return np.ascontiguousarray(np.clip(values, 0, 1).transpose(2, 0, 1))


def _warp_labels(parts: NDArray[np.uint8], matrix: Affine, side: int) -> NDArray[np.uint8]:
    import cv2

    warped: NDArray[np.uint8] = cv2.warpAffine(
        parts, matrix[:2], (side, side), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    return warped


def _directions(
    sequence: FrameSequence, frame: int, shown: NDArray[np.uint8], to_mask: Affine
) -> NDArray[np.float32]:
    """Where each pixel's part points [2, side, side]: the y axis of its sprite, transformed."""
    assert sequence.transforms is not None
    pointing = to_mask[:2, :2] @ sequence.transforms[frame][:, :, 1].T
    pointing = pointing / np.linalg.norm(pointing, axis=0)
    table = np.zeros((2, NO_PART + 1), np.float32)
    table[:, : pointing.shape[1]] = pointing
    return table[:, shown]


def _exact_flow(
    sequence: FrameSequence, still: int, driving: int, shown: NDArray[np.uint8], to_mask: Affine
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow and visibility at the mask's resolution, from the transforms of the parts shown."""
    assert sequence.parts is not None
    assert sequence.transforms is not None
    moves = _part_moves(sequence.transforms[still], sequence.transforms[driving])
    moves = to_mask @ moves @ np.linalg.inv(to_mask)
    side = len(shown)
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    here = np.stack([x, y, np.ones_like(x)], axis=-1)
    move = moves[np.minimum(shown, len(moves) - 1)]
    there = np.einsum("hwij,hwj->hwi", move, here)[..., :2]
    flow = ((there - here[..., :2]) * (2 / side)).astype(np.float32).transpose(2, 0, 1)
    canvas = there @ np.linalg.inv(to_mask)[:2, :2].T + np.linalg.inv(to_mask)[:2, 2]
    pixel = np.rint(canvas).astype(int)
    inside = ((pixel >= 0) & (pixel < SIZE)).all(-1)
    pixel = np.clip(pixel, 0, SIZE - 1)
    found = sequence.parts[still][pixel[..., 1], pixel[..., 0]]
    same = found == shown
    if sequence.sheets is not None:
        same |= _same_place(sequence, still, canvas, found, shown)
    return np.ascontiguousarray(flow), (inside & same).astype(np.float32)[None]


def _weak_flow(
    still: NDArray[np.uint8], driving: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow, and where to believe it, from weak labels: a region's pixels come from where its middle
    was, without turn or stretch. Steady pixels, labelled alike in both frames, come from there."""
    side = len(still)
    flow = np.zeros((2, side, side), np.float32)
    guided = (driving == still) & (driving != UNKNOWN)
    for region in _MOVING:
        there, here = (np.argwhere(labels == region) for labels in (still, driving))
        guided[driving == region] = min(len(there), len(here)) >= _LEAST_PIXELS
        if len(there) and len(here):
            offset = (there.mean(0) - here.mean(0)) * (2 / side)
            flow[:, driving == region] = offset[::-1, None]
    return flow, guided.astype(np.float32)[None]


def _same_place(
    sequence: FrameSequence,
    still: int,
    canvas: NDArray[np.float64],
    found: NDArray[np.uint8],
    shown: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """Whether the part that the still shows at `canvas` is cut from the same sheet as the part
    looked for, and shows nearly the same place of it: two pieces of one limb, side by side."""
    assert sequence.sheets is not None
    assert sequence.transforms is not None
    sheet = np.full(NO_PART + 1, -1)
    sheet[: len(sequence.sheets)] = sequence.sheets
    back = _square(sequence.transforms[0]) @ np.linalg.inv(_square(sequence.transforms[still]))
    here = np.concatenate([canvas, np.ones_like(canvas[..., :1])], axis=-1)
    last = len(back) - 1
    one, other = (
        np.einsum("hwij,hwj->hwi", back[np.minimum(parts, last)], here)[..., :2]
        for parts in (found, shown)
    )
    near = np.abs(one - other).max(-1) < _SAME_PLACE
    same: NDArray[np.bool_] = near & (sheet[found] == sheet[shown]) & (sheet[shown] >= 0)
    return same


def _square(transforms: NDArray[np.float32]) -> Affine:
    full = np.tile(np.eye(3), (len(transforms), 1, 1))
    full[:, :2] = transforms
    return full


def _part_moves(still: NDArray[np.float32], driving: NDArray[np.float32]) -> Affine:
    """From driving canvas pixels to still canvas pixels for each part [P + 1, 3, 3]; last: none."""
    count = len(still)
    moves = np.tile(np.eye(3), (count + 1, 1, 1))
    moves[:count] = _square(still) @ np.linalg.inv(_square(driving))
    assert count < NO_PART
    return moves
