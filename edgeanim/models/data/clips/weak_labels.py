"""What a clip of a person tells of its regions without masks: face, hands, what never moves.

Networks that know only drawn figures see the sleeve of a real person and lose the hand in front of
a jumper. But a person's hands have the colour of their face, and the face is the skin-coloured
thing in the upper half that stays where it is. So the colour is learned from each clip's own face
and looked for in every frame.

These are weak labels: where nothing can be told with some certainty, a pixel stays `UNKNOWN`, and a
clip in which no face is found has none at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.clips.skin import Mask, Picture, Skin, Values, lab
from edgeanim.models.regions import BACKGROUND, UNKNOWN

_HEAD, _TORSO, _LEFT_ARM, _RIGHT_ARM, _LEFT_HAND, _RIGHT_HAND = range(6)
_CHROMA = ((133, 180), (77, 135))
"""Cr and Cb of faces of all skins in ordinary light (Chai & Ngan 1999, widened for cool light)."""
_FACE_AREA = (0.004, 0.12)
"""Share of the picture that a face may cover."""
_FACE_SHAPE = (0.45, 1.4)
"""Width over height of a face, with or without its neck."""
_STILL = 12
"""Grey levels within which a pixel has not changed."""
_MOVES = 40
"""Grey levels that a place where a hand ever rests or passes must change by, at some time."""
_BACKDROP = 15.0
"""Lab distance (lightness counted a third) within which a colour may be the backdrop's."""
_HAND_AREA = (0.1, 2.2)
"""A hand's area, in areas of the face."""


@dataclass(frozen=True)
class _Face:
    """Box of the face in canvas pixels and the colour of its skin."""

    left: int
    top: int
    width: int
    height: int
    skin: Skin

    @property
    def centre(self) -> float:
        return self.left + self.width / 2

    @property
    def chin(self) -> int:
        return self.top + self.height


def weak_labels(pictures: Picture) -> Picture | None:
    """Region labels uint8 [T, S, S] of frames uint8 [T, S, S, 3], `UNKNOWN` where nothing can be
    told; `None` if no face is found or nothing like its hands ever moves."""
    import cv2

    # Hands that cover the face most of the time cover it in the median, but seldom from the start.
    for usual in (usual_picture(pictures), pictures[0]):
        face = _find_face(usual)
        if face is not None:
            break
    else:
        return None
    change = np.stack([cv2.absdiff(picture, usual).max(2) for picture in pictures])
    skin = np.stack([face.skin.shown(picture) for picture in pictures])
    hands = _hands(face, skin, change, change.max(0) > _MOVES)
    if not any(masks.any() for masks in hands):
        return None
    labels = np.full(pictures.shape[:3], UNKNOWN, np.uint8)
    _label_static(labels, usual, face, skin, change)
    for label, mask in zip((_LEFT_HAND, _RIGHT_HAND), hands, strict=True):
        # A ring of doubt round each hand: sleeves, blur, chroma that a codec halves.
        for t in np.flatnonzero(mask.any((1, 2))):
            ring = cv2.dilate(mask[t].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            labels[t][ring & ~mask[t]] = UNKNOWN
        labels[mask] = label
    return labels


def usual_picture(pictures: Picture) -> Picture:
    """What each pixel mostly shows, uint8 [S, S, 3]: the median over some 40 of the frames."""
    usual: Picture = np.median(pictures[:: max(1, len(pictures) // 40)], axis=0).astype(np.uint8)
    return usual


def _find_face(usual: Picture) -> _Face | None:
    """The skin-coloured blob of a face's size and shape that is highest up in the usual picture."""
    import cv2

    size = len(usual)
    chroma = cv2.cvtColor(usual, cv2.COLOR_RGB2YCrCb)
    (cr0, cr1), (cb0, cb1) = _CHROMA
    mask = cv2.inRange(chroma, np.array([40, cr0, cb0]), np.array([255, cr1, cb1]))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    # Eyes and brows are no holes to the face's size.
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    depth = cv2.distanceTransform(closed, cv2.DIST_L2, 3)
    count, blobs, stats, centres = cv2.connectedComponentsWithStats(mask)
    best: tuple[float, _Face] | None = None
    for blob in range(1, count):
        width, height, area = (int(v) for v in stats[blob][2:])
        share, shape = area / size**2, width / height
        off_centre = abs(float(centres[blob][0]) / size - 0.5)
        if not (_FACE_AREA[0] < share < _FACE_AREA[1] and _FACE_SHAPE[0] < shape < _FACE_SHAPE[1]):
            continue
        if area < 0.45 * width * height or off_centre > 0.35 or centres[blob][1] > 0.6 * size:
            continue
        score = share**0.5 - off_centre - float(centres[blob][1]) / size
        if best is None or score > best[0]:
            best = score, _measure(usual, blobs == blob, depth)
    return best[1] if best else None


def _measure(usual: Picture, blob: Mask, depth: Values) -> _Face:
    """The face in a blob: about the largest circle in it, since neck and strands of hair belong to
    the blob as well."""
    inside = np.where(blob, depth, 0)
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    radius = float(inside.max())
    left, top = round(column - 1.1 * radius), round(row - 1.4 * radius)
    width, height = round(2.2 * radius), round(2.7 * radius)
    y, x = np.mgrid[0 : len(usual), 0 : len(usual)]
    skin = Skin.of(lab(usual)[blob & (np.hypot(y - row, x - column) < 1.2 * radius)])
    return _Face(left, top, width, height, skin)


def _hands(face: _Face, skin: Mask, change: Picture, ever_moves: Mask) -> tuple[Mask, Mask]:
    """Masks [T, S, S] of the hands at the left and the right of the picture.

    A hand is a blob of skin off the face, where something moves at some time (a wooden door has
    the colour, too). Each blob goes to the hand whose last place is nearer; one blob near both,
    two hands that touch, is shared between them down its middle.
    """
    frames, size = skin.shape[0], skin.shape[1]
    masks = np.zeros((2, *skin.shape), bool)
    near_face = _box(size, face, 0.25)
    in_front = near_face | _box(size, face, 0.4, down=4.0)
    last = np.array(
        [[face.centre - 1.5 * face.width, size * 0.9], [face.centre + 1.5 * face.width, size * 0.9]]
    )
    unseen = np.array([1.5 * face.width] * 2)
    for t in range(frames):
        # On the face, or a print on the chest, only what was not there before can be a hand.
        there = skin[t] & (~near_face | (change[t] > _MOVES)) & (~in_front | (change[t] > _STILL))
        blobs = _hand_blobs(there, ever_moves, near_face, face)
        away = np.array([np.hypot(*(last - centre).T) + unseen for _, centre in blobs])
        together = float(np.hypot(*(last[0] - last[1]))) < 1.5 * face.width
        places = _assign(away, 1.2 * face.width if together else 0.0)
        for (blob, centre), hand in zip(blobs, places, strict=True):
            if hand is None:
                masks[0, t] |= blob & (np.arange(size) < centre[0])
                masks[1, t] |= blob & (np.arange(size) >= centre[0])
            else:
                masks[hand, t] |= blob
        for hand in (0, 1):
            if masks[hand, t].any():
                y, x = np.nonzero(masks[hand, t])
                last[hand] = x.mean(), y.mean()
                unseen[hand] = 0.0
    return masks[0], masks[1]


def _hand_blobs(
    there: Mask, ever_moves: Mask, near_face: Mask, face: _Face
) -> list[tuple[Mask, NDArray[np.float64]]]:
    """The two largest blobs [S, S] of `there` that may be hands, each with its centre (x, y): about
    as large as one, mostly where something moves at some time, and not all of it on the face."""
    import cv2

    least, most = (share * face.width * face.height for share in _HAND_AREA)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(there.astype(np.uint8))
    found = []
    for label in sorted(range(1, count), key=lambda label: -int(stats[label][4])):
        blob = labels == label
        fits = least < stats[label][4] < 2 * most
        if fits and ever_moves[blob].mean() > 0.5 and not near_face[blob].all():
            found.append((blob, centres[label]))
    return found[:2]


def _assign(away: Values, both: float) -> list[int | None]:
    """Which hand each of at most two blobs is, from its distances [B, 2] to the hands' last places;
    `None` for one blob that is nearer than `both` to the two of them."""
    if len(away) == 2:
        return [0, 1] if np.trace(away) <= np.trace(away[::-1]) else [1, 0]
    if len(away) == 1:
        return [None] if away.max() < both else [int(away.argmin())]
    return []


def _box(size: int, face: _Face, margin: float, down: float = 0.0) -> Mask:
    """The face's box [S, S], grown by `margin` of its size on every side, and by `down` below."""
    y, x = np.mgrid[0:size, 0:size]
    grow_x, grow_y = margin * face.width, margin * face.height
    across = (x >= face.left - grow_x) & (x <= face.left + face.width + grow_x)
    inside: Mask = (
        across & (y >= face.top - grow_y) & (y <= face.chin + grow_y + down * face.height)
    )
    return inside


def _label_static(
    labels: Picture, usual: Picture, face: _Face, skin: Mask, change: Picture
) -> None:
    """Label what has not changed: the face, the body below it, the backdrop beside both.

    Shoulders lie some 1.4 widths of the face from its middle: what is there, and has not the colour
    of the backdrop above, are upper arms. That keeps the sleeve from counting as the hand.
    """
    size = labels.shape[1]
    y, x = np.mgrid[0:size, 0:size]
    aside = np.abs(x - face.centre) / face.width
    below = y > face.chin + 0.5 * face.height
    steady = change < _STILL
    torso = below & (aside < 0.9) & (y < face.chin + 3.0 * face.height)
    backdrop = ((y < face.chin) & (aside > 1.2)) | (aside > 3.2) | (y < face.top - face.height)
    labels[steady & ~skin & torso] = _TORSO
    shoulder = (aside > 1.05) & (aside < 1.7) & below & (y < face.chin + 1.4 * face.height)
    above = (aside > 1.2) & (aside < 1.9) & (y > face.top) & (y < face.chin)
    colours = lab(usual)
    for label, side in ((_LEFT_ARM, x < face.centre), (_RIGHT_ARM, x > face.centre)):
        if (above & side).any():
            wall = np.median(colours[above & side], axis=0)
            body = np.linalg.norm(colours - wall, axis=2) > _BACKDROP
            labels[steady & ~skin & shoulder & side & body] = label
    labels[steady & ~skin & backdrop] = BACKGROUND
    # Eyes and mouth are regions of their own, and not to be told from the face by colour.
    high = (y - face.top) / face.height
    features = (aside < 0.4) & (high > 0.3) & (high < 0.95)
    labels[skin & ~features & _box(size, face, 0.0) & (change < _MOVES)] = _HEAD
