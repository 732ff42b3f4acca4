"""Portraits out of real clips: people seen from closer, their heads turned as a ball turns.

Whoever is filmed signing looks into the camera. A head that turns shows its cheek where its nose
was, and no amount of frames that face front teaches that. So the picture of a head is laid on half
an ellipsoid and turned: differently in the still and in the driving frame, which agree in all else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.regions import REGIONS

_TURNED, _CLOSER = 0.6, 0.4
"""How often heads are turned, and how often they are seen from closer."""
_HEAD = REGIONS.index("head")
_LEAST_FACE = 150
"""Labelled pixels of the canvas that a face must have to be found by them."""
_ACROSS, _DOWN, _MIDDLE = 0.54, 0.66, 0.44
"""A head's half axes in widths and heights of its face, and its middle below the face's top: hair
makes a head wider and, above all, higher than what its weak labels show of it."""
_YAW, _PITCH = np.radians(45), np.radians(10)
"""Most that a head is turned to a side, and up or down."""
_FACES_FRONT = 0.3
"""How often the still, or the driving frame, keeps facing as it was filmed."""
_STEP = np.radians(4)
"""Most that a head turns from one frame to the next."""
_RIM = 0.85
"""Of a half ellipsoid, what lies beyond its rim has the rim's colour: hair, or an ear."""
_BLEND = 0.2
"""Share of the half axes over which the turn fades out, so that the outline stays where it is."""
_CLOSEST = 2.2
Picture = NDArray[np.uint8]


class _Head(NamedTuple):
    """Middle and half axes in pixels of the canvas."""

    x: float
    y: float
    across: float
    down: float


def portrait(
    clip: FrameSequence, ends: tuple[int, int], rng: np.random.Generator
) -> tuple[FrameSequence, tuple[int, int]]:
    """A clip of the three frames that a pair of a still and a driving frame needs, with heads
    turned and perhaps seen from closer, and the pair's `ends` in it.

    A clip without weak labels, or in whose frames no face is labelled, stays as it is.
    """
    if clip.weak_labels is None:
        return clip, ends
    still, driving = ends
    frames = [still, clip.before[driving], driving]
    layers = [np.stack([clip.pictures[i] for i in frames]), clip.weak_labels[frames]]
    if clip.mattes is not None:
        layers.append(clip.mattes[frames])
    head = _find_head(layers[1])
    if head is None:
        return clip, ends
    size = layers[0].shape[1]
    maps = [_everything(size)] * 3
    if rng.uniform() < _TURNED:
        turns = _turns(rng, moved=clip.before[driving] != driving)
        maps = [_turned(head, turn, size) for turn in turns]
    if rng.uniform() < _CLOSER:
        window = _window(rng, head, size)
        maps = [_seen_through(each, window) for each in maps]
    pictures, labels, *mattes = [
        np.stack(
            [_sampled(f, m, nearest=layer.ndim == 3) for f, m in zip(layer, maps, strict=True)]
        )
        for layer in layers
    ]
    three = replace(
        clip,
        pictures=pictures,
        before=(0, 1, 1),
        weak_labels=labels,
        mattes=mattes[0] if mattes else None,
    )
    return three, (0, 2)


def _find_head(labels: Picture) -> _Head | None:
    y, x = np.nonzero((labels == _HEAD).any(0))
    if len(x) < _LEAST_FACE:
        return None
    (left, right), (top, bottom) = (np.percentile(each, (1, 99)) for each in (x, y))
    width, height = right - left, bottom - top
    return _Head((left + right) / 2, top + _MIDDLE * height, _ACROSS * width, _DOWN * height)


def _turns(rng: np.random.Generator, *, moved: bool) -> NDArray[np.float64]:
    """Yaw and pitch [3, 2] of the still, of the frame before the driving one, and of that."""
    turns = rng.uniform(-1, 1, (3, 2)) * (_YAW, _PITCH)
    turns[0] *= rng.uniform() > _FACES_FRONT
    turns[2] *= rng.uniform() > _FACES_FRONT
    turns[1] = turns[2] + rng.uniform(-_STEP, _STEP, 2) * moved
    return turns


def _everything(size: int) -> NDArray[np.float32]:
    """Where each pixel comes from [S, S, 2], x before y: from where it is."""
    x = np.arange(size, dtype=np.float32)
    return np.stack(np.meshgrid(x, x), axis=-1)


def _turned(head: _Head, turn: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Where each pixel comes from [S, S, 2] once the head has turned: yaw and pitch in radians."""
    places = _everything(size)
    rows, columns = (
        slice(max(0, int(middle - axis)), max(0, int(middle + axis) + 2))
        for middle, axis in ((head.y, head.down), (head.x, head.across))
    )
    near = places[rows, columns]
    axes = np.array([head.across, head.down], np.float32)
    here = (near - np.array([head.x, head.y], np.float32)) / axes
    radius = np.hypot(here[..., 0], here[..., 1])
    depth = np.sqrt(np.maximum(1 - radius**2, 0))
    ball = np.concatenate([here, depth[..., None]], axis=-1)
    (cos_yaw, cos_pitch), (sin_yaw, sin_pitch) = np.cos(turn), np.sin(turn)
    yaw = np.array([[cos_yaw, 0, -sin_yaw], [0, 1, 0], [sin_yaw, 0, cos_yaw]])
    pitch = np.array([[1, 0, 0], [0, cos_pitch, -sin_pitch], [0, sin_pitch, cos_pitch]])
    there = ball @ (pitch @ yaw).T.astype(np.float32)
    out = np.hypot(there[..., 0], there[..., 1])
    beyond = (there[..., 2] < 0) | (out > _RIM)
    there[beyond, :2] *= (_RIM / np.maximum(out[beyond], 1e-6))[:, None]
    share = np.clip((1 - radius) / _BLEND, 0, 1)[..., None]
    near += share * (there[..., :2] - here) * axes
    return places


def _window(rng: np.random.Generator, head: _Head, size: int) -> tuple[float, float, float]:
    """Left, top and side of a square of the canvas that has the head in it."""
    side = size / rng.uniform(1.2, _CLOSEST)
    middle = np.array([head.x, head.y + 0.15 * side]) + rng.uniform(-0.15, 0.15, 2) * side
    left, top = np.clip(middle - side / 2, 0, size - side)
    return float(left), float(top), float(side)


def _seen_through(
    places: NDArray[np.float32], window: tuple[float, float, float]
) -> NDArray[np.float32]:
    import cv2

    left, top, side = window
    size = len(places)
    ratio = side / size
    offset = ratio / 2 - 0.5
    matrix = np.array([[ratio, 0, left + offset], [0, ratio, top + offset]])
    seen: NDArray[np.float32] = cv2.warpAffine(
        places,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return seen


def _sampled(picture: Picture, places: NDArray[np.float32], *, nearest: bool) -> Picture:
    import cv2

    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    found: Picture = cv2.remap(picture, places, None, how, borderMode=cv2.BORDER_REPLICATE)
    return found
