"""Real clips bent where something moves: hands and sleeves are elsewhere and of other shapes.

A character is adapted to from some seconds, and then moves as it was not seen to move. So what
moves in the driving frame is bent at random, its labels with it; what rests stays as it is, and so
does the still. Optical flow is searched in what comes out. (Elastic distortions: Simard, Steinkraus
and Platt, "Best Practices for Convolutional Neural Networks", 2003.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.sequences import Frames, FrameSequence, three_of

_BENT = 0.5
"""How often a pair is bent."""
_KNOTS, _BEND = 5, 5.0
"""The bend is random at this many knots a side, with this deviation in pixels of the canvas."""
_RESTING = 32
"""Frames, spread over a clip, of which is taken what rests."""
_MOVES = 25
"""Levels by which a channel differs from what rests where something moves."""
_AROUND, _SOFT = 17, 7.0
"""Pixels of this size round what moves are bent, too, and the deviation of the edge to the rest."""
Field = NDArray[np.float32]
Picture = NDArray[np.uint8]


def at_rest(pictures: Frames) -> Picture:
    """What a clip shows at each pixel for most of the time: the median of its frames, uint8
    [S, S, 3]."""
    count = len(pictures)
    some = np.linspace(0, count - 1, min(count, _RESTING)).round().astype(int)
    rest: Picture = np.median(np.stack([pictures[i] for i in some]), axis=0).astype(np.uint8)
    return rest


def bent(
    clip: FrameSequence, ends: tuple[int, int], rng: np.random.Generator
) -> tuple[FrameSequence, tuple[int, int]]:
    """A clip with the driving frame of the pair `ends` and the one before it bent alike, and the
    pair's ends in it. Half of the pairs stay as they are, and so does a clip of which nobody knows
    what rests."""
    if clip.rest is None or rng.uniform() >= _BENT:
        return clip, ends
    three, ends = three_of(clip, ends)
    pictures = np.asarray(three.pictures)
    side = pictures.shape[1]
    offsets = smooth_offsets(rng, _KNOTS, _BEND, side) * _moving(pictures[ends[1]], clip.rest)
    places = np.arange(side, dtype=np.float32)
    grid = np.stack(np.meshgrid(places, places), axis=-1) + offsets
    labels, mattes = (
        None if each is None else _with_bent_driver(each, grid, nearest=True)
        for each in (three.weak_labels, three.mattes)
    )
    pictures = _with_bent_driver(pictures, grid, nearest=False)
    return replace(three, pictures=pictures, weak_labels=labels, mattes=mattes), ends


def smooth_offsets(rng: np.random.Generator, knots: int, deviation: float, side: int) -> Field:
    """Offsets (x, y) [S, S, 2] in pixels: random at the knots, by twice their deviation at most,
    and smooth between them."""
    import cv2

    drawn = rng.normal(0, deviation, (knots, knots, 2)).clip(-2 * deviation, 2 * deviation)
    smooth: Field = cv2.resize(
        drawn.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    return smooth


def sampled(values: Picture, grid: Field, *, nearest: bool) -> Picture:
    """A picture, or labels by their `nearest` one, whose every pixel comes from where `grid`
    [S, S, 2] says."""
    import cv2

    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    found: Picture = cv2.remap(values, grid, None, how, borderMode=cv2.BORDER_REPLICATE)
    return found


def _with_bent_driver(frames: Picture, grid: Field, *, nearest: bool) -> Picture:
    """The three frames of a pair, all but the still bent."""
    return np.stack([frames[0], *(sampled(each, grid, nearest=nearest) for each in frames[1:])])


def _moving(picture: Picture, rest: Picture) -> Field:
    """1 where a picture shows something else than what rests, softly down to 0: [S, S, 1]."""
    import cv2

    moves: Any = (cv2.absdiff(picture, rest).max(-1) > _MOVES).astype(np.uint8)
    moves = cv2.morphologyEx(moves, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    grown = cv2.dilate(moves, np.ones((_AROUND, _AROUND), np.uint8)).astype(np.float32)
    soft: Field = cv2.GaussianBlur(grown, (0, 0), _SOFT)[..., None]
    return soft
