"""Real clips in disguise: another build, another skin, other clothes and another backdrop, so that
a few people count as more.

A network that has seen three people before one wall knows the three, their jumpers and the wall.
Bending the picture gives the same person other proportions, the same bend in all frames of a pair;
a matte lets another backdrop show behind them, and their clothes be dyed. Skin is toned as a whole:
that a hand has the colour of the face, whatever the sleeve, is what is to be learned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.clips.bends import sampled, smooth_offsets
from edgeanim.models.data.clips.skin import Skin, lab
from edgeanim.models.data.puppets.sprites import background
from edgeanim.models.data.sequences import FrameSequence, three_of
from edgeanim.models.regions import BACKGROUND, REGIONS, TIPS

_BENT, _ELSEWHERE, _DYED, _TONED = 0.7, 0.6, 0.6, 0.5
"""How often a pair is bent, is put before another backdrop, has its clothes dyed and its skin
toned."""
_FACE = REGIONS.index("head")
_RING = 3
"""Pixels of this size round a hand that is labelled keep their colour, as the hand does."""
_FADED = 0.5
"""Most of the clothes' own contrast that dye takes away."""
_TONES = (-0.15, 0.7)
"""How dark a skin is made: from lighter by about a tenth to less than half as light."""
_MELANIN = np.array([0.75, 0.95, 1.05])
"""How much a tone takes of red, green and blue: dark skin reflects less of blue than of red."""
_KNOTS = 4
"""The bend is smooth: random at this many knots a side."""
_BEND, _STRETCH = 5.0, 0.15
"""Deviation of the bend at its knots, in pixels of the canvas, and of the stretch's logarithm."""
_BLUR = 4.0
"""Most that a backdrop is out of focus: deviation in pixels."""
_EDGE = 1.0
"""Softness of the edges of what is put into a picture: deviation in pixels."""
_SHADED = 16.0
"""Squared distance from the face's colours up to which skin is not dyed: a hand in shade."""
Picture = NDArray[np.uint8]


def disguised(
    clip: FrameSequence, ends: tuple[int, int], rng: np.random.Generator
) -> tuple[FrameSequence, tuple[int, int]]:
    """A clip of the three frames that a pair of a still and a driving frame needs, dyed, bent and
    put elsewhere, and the pair's `ends` in it. What another backdrop covers is labelled so."""
    three, ends = three_of(clip, ends)
    pictures, labels, mattes = np.asarray(three.pictures), three.weak_labels, three.mattes
    dyed, toned = rng.uniform(size=2) < (_DYED, _TONED)
    if mattes is not None and labels is not None and (dyed or toned):
        clothes, skin = _clothes_and_skin(pictures, mattes, labels)
        pictures = _dyed(pictures, clothes, rng) if dyed else pictures
        pictures = _toned(pictures, skin, rng) if toned else pictures
    if mattes is not None and rng.uniform() < _ELSEWHERE:
        pictures = _put_before(_backdrop(rng, pictures.shape[1]), pictures, mattes)
        if labels is not None:
            labels = np.where(mattes > 0, labels, BACKGROUND).astype(np.uint8)
    if rng.uniform() < _BENT:
        bend = _bend(rng, pictures.shape[1])
        pictures = np.stack([sampled(picture, bend, nearest=False) for picture in pictures])
        if labels is not None:
            labels = np.stack([sampled(each, bend, nearest=True) for each in labels])
    return replace(three, pictures=pictures, weak_labels=labels, mattes=None), ends


def _backdrop(rng: np.random.Generator, size: int) -> Picture:
    import cv2

    drawn = background(rng, size)
    blur = float(rng.uniform(0, _BLUR))
    soft: Picture = cv2.GaussianBlur(drawn, (0, 0), blur) if blur > 0.3 else drawn
    return soft


def _put_before(backdrop: Picture, pictures: Picture, mattes: Picture) -> Picture:
    return _covered(pictures, np.broadcast_to(backdrop, pictures.shape), mattes == 0)


def _clothes_and_skin(
    pictures: Picture, mattes: Picture, labels: Picture
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where somebody's clothes are (hair counts as such) and where their skin is, each [T, S, S]:
    nowhere if no face is known."""
    import cv2

    face = labels == _FACE
    known = np.concatenate([lab(p)[f] for p, f in zip(pictures, face, strict=True)])
    clothes, bare = np.zeros((2, *labels.shape), np.bool_)
    if len(known) < 4:
        return clothes, bare
    skin = Skin.of(known)
    for cloth, nude, picture, matte, label in zip(
        clothes, bare, pictures, mattes, labels, strict=True
    ):
        certain = np.isin(label, (_FACE, *TIPS)).astype(np.uint8)
        certain = cv2.dilate(certain, np.ones((_RING, _RING), np.uint8))
        nude[:] = (matte > 0) & ((certain > 0) | skin.shown(picture, _SHADED))
        cloth[:] = (matte > 0) & ~nude
    return clothes, bare


def _dyed(pictures: Picture, clothes: NDArray[np.bool_], rng: np.random.Generator) -> Picture:
    """The same in clothes of one random colour, which keep folds and prints as light and shade."""
    import cv2

    dye = rng.uniform(20, 235, 3)
    contrast = 1 - rng.uniform(0, _FADED)
    if not clothes.any():
        return pictures
    grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
    light = grey - grey[clothes].mean()
    coloured = (dye + contrast * light[..., None]).clip(0, 255).astype(np.uint8)
    return _covered(pictures, coloured, clothes)


def _toned(pictures: Picture, skin: NDArray[np.bool_], rng: np.random.Generator) -> Picture:
    """The same people with lighter or darker skin."""
    tone = rng.uniform(*_TONES)
    toned = (pictures * (1 - tone * _MELANIN)).clip(0, 255).astype(np.uint8)
    return _covered(pictures, toned, skin)


def _covered(pictures: Picture, others: Picture, where: NDArray[np.bool_]) -> Picture:
    """Pictures [T, S, S, 3], and `others` where a mask [T, S, S] is, with soft edges."""
    import cv2

    shown = []
    for picture, other, mask in zip(pictures, others, where, strict=True):
        soft = cv2.GaussianBlur(np.where(mask, 255, 0).astype(np.uint8), (0, 0), _EDGE)
        share = soft.astype(np.float32) / 255
        shown.append(cv2.blendLinear(np.ascontiguousarray(other), picture, share, 1 - share))
    return np.stack(shown)


def _bend(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Where each pixel comes from, [S, S, 2]: smooth, and never folded."""
    smooth = smooth_offsets(rng, _KNOTS, _BEND, size)
    stretch = np.exp(rng.normal(0, _STRETCH, 2).clip(-2 * _STRETCH, 2 * _STRETCH))
    middle = (size - 1) / 2
    x, y = ((np.arange(size) - middle) * each + middle for each in stretch)
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    bend: NDArray[np.float32] = grid + smooth
    return bend
