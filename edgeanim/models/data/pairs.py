"""Training pairs: a still, a driving frame and its cue, augmented alike, with all that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.augmentation import PLAIN, Affine, Augmentation
from edgeanim.models.data.known_flow import exact_flow, weak_flow
from edgeanim.models.data.optical_flow import consistent_flow
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE
from edgeanim.models.data.sequences import FrameSequence, Parts, region_table
from edgeanim.models.regions import MIRRORED, UNKNOWN

MASK_STRIDE = 4
"""Pixels of a picture to one of its mask, each way."""
_MIRRORED_LABELS = np.arange(UNKNOWN + 1, dtype=np.uint8)
_MIRRORED_LABELS[: len(MIRRORED)] = MIRRORED
_PRIOR = 0.3
"""How much it counts that a clip's still shows all there is, where nobody knows."""


@dataclass(frozen=True)
class Pair:
    """Pictures float32 [3, h, w] in 0..1 (`cue` -1..1); labels uint8 [h/4, w/4].

    `direction_*` float32 [2, h/4, w/4]: the unit vector along which the part at a pixel points (the
    y axis of its sprite), 0 on the backdrop. `flow` float32 [2, h/4, w/4]: the offset (x, y)
    from each driving pixel to its place in the still, in half pictures; `visible` float32
    [1, h/4, w/4]: 1 where the still shows that place. `flow_weight` and `visible_weight` float32
    [1, h/4, w/4]: how much either is to be believed.

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
    flow_weight: NDArray[np.float32]
    visible_weight: NDArray[np.float32]
    known: NDArray[np.float32]


class _Knowledge(NamedTuple):
    """What is known of a pair besides its pictures: the fields of `Pair`, labels and directions of
    the still and of the driving frame together."""

    labels: list[NDArray[np.uint8]]
    directions: list[NDArray[np.float32]]
    flow: NDArray[np.float32]
    visible: NDArray[np.float32]
    flow_weight: NDArray[np.float32]
    visible_weight: NDArray[np.float32]


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
    `optical_flow`, what that tells of a real clip (see `consistent_flow`)."""
    to_output = _to_size(size) @ augmentation.matrix
    pictures = [
        _picture(sequence.pictures[i], to_output, size, augmentation)
        for i in (still, driving, sequence.before[driving])
    ]
    side = size // MASK_STRIDE
    ends = still, driving
    if sequence.parts is not None:
        known = _of_parts(sequence.parts, ends, side, augmentation)
    else:
        known = _of_clip(sequence, ends, side, augmentation)
        if optical_flow:
            known = _with_optical_flow(known, pictures[0], pictures[1])
    return Pair(
        still=pictures[0],
        driving=pictures[1],
        cue=pictures[1] - pictures[2],
        label_still=known.labels[0],
        label_driving=known.labels[1],
        direction_still=known.directions[0],
        direction_driving=known.directions[1],
        flow=known.flow,
        visible=known.visible,
        flow_weight=known.flow_weight,
        visible_weight=known.visible_weight,
        known=np.array([sequence.parts is not None], np.float32),
    )


def _of_parts(
    parts: Parts, ends: tuple[int, int], side: int, augmentation: Augmentation
) -> _Knowledge:
    """Of a drawn character everything is known."""
    to_mask = _to_size(side) @ augmentation.matrix
    table = region_table(parts.regions)
    if augmentation.mirrored:
        table = _MIRRORED_LABELS[table]
    shown = [_warp_labels(parts.shown[i], to_mask, side) for i in ends]
    directions = [
        _directions(parts.transforms[i], s, to_mask) for i, s in zip(ends, shown, strict=True)
    ]
    flow, visible = exact_flow(parts, *ends, shown[1], to_mask)
    labels = [table[each] for each in shown]
    return _Knowledge(labels, directions, flow, visible, visible, np.ones_like(visible))


def _of_clip(
    sequence: FrameSequence, ends: tuple[int, int], side: int, augmentation: Augmentation
) -> _Knowledge:
    """Of a real clip, what its weak labels tell."""
    labels = [np.full((side, side), UNKNOWN, np.uint8)] * 2
    flow = np.zeros((2, side, side), np.float32)
    flow_weight = np.zeros((1, side, side), np.float32)
    if sequence.weak_labels is not None:
        to_mask = _to_size(side) @ augmentation.matrix
        shown = [_warp_labels(sequence.weak_labels[i], to_mask, side) for i in ends]
        labels = [_MIRRORED_LABELS[each] if augmentation.mirrored else each for each in shown]
        flow, flow_weight = weak_flow(*labels)
    visible = np.ones((1, side, side), np.float32)
    directions = [np.zeros((2, side, side), np.float32)] * 2
    return _Knowledge(labels, directions, flow, visible, flow_weight, np.full_like(visible, _PRIOR))


def _with_optical_flow(
    known: _Knowledge, still: NDArray[np.float32], driving: NDArray[np.float32]
) -> _Knowledge:
    found = consistent_flow(still, driving, known.flow.shape[1])
    # Where a search loses a hand, its middle is still known; where it is found, so are fingers.
    flow_weight = np.maximum(known.flow_weight, found.flow_weight)
    return known._replace(
        flow=np.where(found.flow_weight > 0, found.flow, known.flow),
        visible=np.maximum(found.visible, flow_weight),
        flow_weight=flow_weight,
        visible_weight=np.maximum(found.visible_weight, flow_weight),
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
    transforms: NDArray[np.float32], shown: NDArray[np.uint8], to_mask: Affine
) -> NDArray[np.float32]:
    """Where each pixel's part points [2, side, side]: the y axis of its sprite, by the `transforms`
    [P, 2, 3] of this frame."""
    pointing = to_mask[:2, :2] @ transforms[:, :, 1].T
    pointing = pointing / np.linalg.norm(pointing, axis=0)
    table = np.zeros((2, NO_PART + 1), np.float32)
    table[:, : pointing.shape[1]] = pointing
    return table[:, shown]
