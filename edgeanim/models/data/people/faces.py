"""Faces: skin, brows, hair and beard, painted once, and eyes and mouth, painted for each frame.

A head's texture is its surface's: `down` 0 is the crown and pi under the chin; `angle` goes round
it, 0 being its front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.people.acting import Expression
from edgeanim.models.data.people.geometry import Floats, bump, ramp
from edgeanim.models.data.people.looks import Colours, Texture, hair_texture, noise
from edgeanim.models.data.people.surfaces import ATLAS

FEATURES = ("left eye", "right eye", "mouth")
"""What is labelled 1, 2 and 3 on a face."""
OPENED = 1.6
"""How much higher a wide open mouth is than a shut one, as a share."""
_ENLARGED = 4
_WINDOW = np.s_[int(ATLAS * 0.4) : int(ATLAS * 0.78), ATLAS // 2 - 32 : ATLAS // 2 + 32]
"""The part of the texture that eyes and mouth are painted on, `_ENLARGED` times its size."""
_SIGNS = (-1, 1)
_IRISES = np.array([[70, 45, 30], [60, 90, 120], [70, 90, 60], [40, 28, 20]])


@dataclass(frozen=True)
class Eyes:
    """`aside` and `down` of their middles, half their width and height, all in radians."""

    aside: float
    down: float
    wide: float
    high: float
    iris: Floats

    def middle(self, expression: Expression) -> float:
        """How far down the middle of what the lids leave open is: the upper one falls further than
        the lower rises."""
        return self.down + (1 - expression.open) * self.high * 0.5


@dataclass(frozen=True)
class Mouth:
    """Its place, half its width, and half the height of its lips, in radians."""

    down: float
    wide: float
    high: float
    colour: Floats


@dataclass(frozen=True)
class Face:
    """What of a head stays: its texture without eyes and mouth; `hair` [ATLAS, ATLAS] in 0..1 is
    where hair covers it."""

    texture: Texture
    hair: NDArray[np.float64]
    glasses: bool
    eyes: Eyes
    mouth: Mouth
    colours: Colours


def random_face(rng: np.random.Generator, colours: Colours, skin: Texture) -> Face:
    """A face painted on `skin`, the head's texture."""
    draw = rng.uniform
    rows, columns = np.mgrid[0:ATLAS, 0:ATLAS].astype(np.float32)
    angle = ((columns + 0.5) / ATLAS - 0.5) * 2 * np.pi
    down = (rows + 0.5) / ATLAS * np.pi
    painted: NDArray[Any] = _shaded(rng, skin.copy(), angle, down)
    hair = hair_texture(rng, colours.hair)
    brows = _brows(rng, angle, down)
    painted = painted + brows * draw(0.5, 0.95) * (colours.hair * 0.8 - painted)
    if draw() < 0.22:
        painted = painted + _beard(angle, down) * draw(0.3, 0.9) * (hair - painted)
    covered = _hair_cover(rng, angle, down, colours)
    painted = painted + covered[:, :, None] * (hair - painted)
    glasses = draw() < 0.2
    eyes = Eyes(
        aside=draw(0.33, 0.42),
        down=draw(1.48, 1.56),
        wide=draw(0.15, 0.2),
        high=draw(0.05, 0.085),
        iris=_IRISES[rng.integers(4)] * draw(0.7, 1.2),
    )
    lips = colours.skin * np.array([0.92, 0.62, 0.62])
    mouth = Mouth(
        down=draw(2.06, 2.16),
        wide=draw(0.24, 0.36),
        high=draw(0.035, 0.06),
        colour=np.clip(lips * draw(0.75, 1.1) + np.array([draw(0, 30), 0, 0]), 0, 255),
    )
    texture = np.clip(painted, 0, 255).astype(np.float32)
    return Face(texture, covered, glasses, eyes, mouth, colours)


def painted(face: Face, expression: Expression) -> tuple[Texture, NDArray[np.uint8]]:
    """The head's texture with eyes and mouth as they are now, and labels [ATLAS, ATLAS]: 0, or one
    more than the index in `FEATURES`."""
    import cv2

    texture = face.texture.copy()
    labels = np.zeros((ATLAS, ATLAS), np.uint8)
    window = texture[_WINDOW]
    canvas = cv2.resize(
        np.clip(window, 0, 255).astype(np.uint8),
        None,
        fx=_ENLARGED,
        fy=_ENLARGED,
        interpolation=cv2.INTER_CUBIC,
    )
    for sign in _SIGNS:
        _paint_eye(canvas, labels, face, expression, sign)
    if face.glasses:
        _Brush(canvas).line(0, face.eyes.down - 0.02, 0.1, 0.02, (25, 25, 28), (180, 360), 3)
    _paint_mouth(canvas, labels, face.mouth, expression)
    size = (window.shape[1], window.shape[0])
    texture[_WINDOW] = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    return texture, labels


def _shaded(
    rng: np.random.Generator, skin: Texture, angle: NDArray[Any], down: NDArray[Any]
) -> Texture:
    """Red cheeks, sockets of eyes, folds beside the nose, nostrils and what is below the nose."""
    draw = rng.uniform
    cheeks = bump(np.abs(angle) - 0.55, 0.28, down - 1.78, 0.2)
    skin *= 1 - cheeks[..., None] * np.array([0.0, 0.09, 0.07]) * draw(0, 1.4)
    for sign in _SIGNS:
        dark = 0.16 * draw(0.3, 1)
        skin *= (1 - dark * bump(angle - sign * 0.36, 0.2, down - 1.5, 0.12))[..., None]
        dark = 0.12 * draw(0, 1)
        fold = angle - sign * (0.22 + 0.5 * (down - 1.85))
        skin *= (1 - dark * bump(fold, 0.04, down - 1.98, 0.12))[..., None]
        skin *= (1 - 0.55 * bump(angle - sign * 0.075, 0.035, down - 1.93, 0.025))[..., None]
    skin *= (1 - 0.12 * bump(angle, 0.2, down - 2.0, 0.04))[..., None]
    return skin


def _brows(rng: np.random.Generator, angle: NDArray[Any], down: NDArray[Any]) -> NDArray[Any]:
    arch, thick, high = (
        rng.uniform(0.0, 0.09),
        rng.uniform(0.02, 0.045),
        rng.uniform(1.28, 1.36),
    )
    cover = np.zeros_like(angle)
    for sign in _SIGNS:
        outward = (angle * sign - 0.14) / 0.42
        share = np.clip(outward, 0, 1)
        line = high - arch * np.sin(share * np.pi * 0.9) + 0.02 * outward
        hairs = np.clip(1.3 - np.abs(down - line) / (thick * (1.15 - 0.5 * share)), 0, 1)
        cover += hairs * ((outward > 0) & (outward < 1))
    clipped: NDArray[Any] = np.clip(cover, 0, 1)[:, :, None]
    return clipped


def _beard(angle: NDArray[Any], down: NDArray[Any]) -> NDArray[Any]:
    """Chin and cheeks, but not the lips."""
    aside = np.abs(angle)
    chin = ramp(down, 1.95, 2.15) * ramp(-aside, -1.5, -1.2)
    cheeks = ramp(aside, 0.9, 1.1) * ramp(down, 1.6, 1.8) * ramp(-aside, -1.5, -1.3)
    lips = np.exp(-((angle / 0.25) ** 4) - ((down - 2.1) / 0.07) ** 4)
    cover: NDArray[Any] = np.clip(chin + cheeks - lips, 0, 1)[:, :, None]
    return cover


def _hair_cover(
    rng: np.random.Generator, angle: NDArray[Any], down: NDArray[Any], colours: Colours
) -> NDArray[np.float64]:
    """Where hair is, 0..1: above a line that falls at the temples to the ears, or further."""
    line, temple, parting = rng.uniform(0.72, 1.0), rng.uniform(0.2, 0.6), rng.uniform(-1, 1)
    aside = np.abs(angle)
    front = line + 0.12 * np.cos(angle * 2 + parting) + temple * 0.3 * ramp(aside, 0.5, 1.1)
    lowest = 2.6 if colours.hair_style == "long" else 2.2
    limit = np.where(aside < 1.15, front + 1.1 * ramp(aside, 0.85, 1.2), lowest)
    limit = limit + noise(rng, 20) * 0.03
    cover: NDArray[np.float64] = ramp(limit - down, -0.03, 0.03)
    return cover * (colours.hair_style != "bald")


class _Brush:
    """Paints ellipses, given in radians, on the enlarged face."""

    def __init__(self, canvas: NDArray[np.uint8]) -> None:
        self.canvas = canvas

    def fill(
        self,
        aside: float,
        down: float,
        wide: float,
        high: float,
        colour: Sequence[float] | Floats,
        arc: tuple[int, int] = (0, 360),
    ) -> None:
        """A filled ellipse, or a piece of one."""
        self.line(aside, down, wide, high, colour, arc, -1)

    def line(
        self,
        aside: float,
        down: float,
        wide: float,
        high: float,
        colour: Sequence[float] | Floats,
        arc: tuple[int, int],
        thick: int,
    ) -> None:
        """An ellipse's outline, or a piece of it, `thick` pixels of the enlarged face."""
        import cv2

        unit = ATLAS * _ENLARGED * 16 / np.pi
        left, top = _WINDOW[1].start, _WINDOW[0].start
        middle = (
            round(float(aside * unit / 2 + (ATLAS / 2 - left) * _ENLARGED * 16)),
            round(float(down * unit - top * _ENLARGED * 16)),
        )
        axes = max(1, round(float(wide * unit / 2))), max(1, round(float(high * unit)))
        rgb = [float(value) for value in colour]
        cv2.ellipse(self.canvas, middle, axes, 0, *arc, rgb, thick, cv2.LINE_AA, 4)


def _paint_eye(
    canvas: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    face: Face,
    expression: Expression,
    sign: int,
) -> None:
    eyes = face.eyes
    high = eyes.high * expression.open
    aside, down = sign * eyes.aside, eyes.middle(expression)
    ball, opening = _Brush(canvas.copy()), _Brush(np.zeros_like(canvas))
    ball.fill(aside, down, eyes.wide, high, (225, 220, 215))
    opening.fill(aside, down, eyes.wide, high, (255, 255, 255))
    x, y = aside + expression.gaze[0] * 0.03, eyes.down + expression.gaze[1] * 0.012
    ball.fill(x, y, 0.07, 0.035, eyes.iris)
    ball.fill(x, y, 0.035, 0.018, (12, 10, 10))
    ball.fill(x + 0.02, y - 0.012, 0.012, 0.007, (250, 250, 250))
    seen = opening.canvas / 255.0
    canvas[:] = (ball.canvas * seen + canvas * (1 - seen)).astype(np.uint8)
    brush = _Brush(canvas)
    brush.line(aside, down, eyes.wide, high, face.colours.hair * 0.35, (180, 360), 2)
    brush.line(aside, down, eyes.wide, high, face.colours.skin * 0.72, (0, 180), 1)
    label = FEATURES.index("left eye" if sign < 0 else "right eye") + 1
    _label(labels, aside, down, eyes.wide * 1.15, max(high * 1.3, 0.02), label)
    if face.glasses:
        brush.line(aside, eyes.down + 0.03, 0.26, 0.13, (25, 25, 28), (0, 360), 3)


def _paint_mouth(
    canvas: NDArray[np.uint8], labels: NDArray[np.uint8], mouth: Mouth, expression: Expression
) -> None:
    brush = _Brush(canvas)
    wide = mouth.wide * expression.broad
    opened = mouth.high * OPENED * expression.mouth
    down = mouth.down
    brush.fill(0, down, wide, mouth.high * 0.8 + opened, mouth.colour, (180, 360))
    brush.fill(0, down, wide * 0.96, mouth.high + opened, mouth.colour * 1.05, (0, 180))
    if expression.mouth > 0.06:
        brush.fill(0, down, wide * 0.85, opened + 0.004, (45, 15, 18))
        brush.fill(0, down - opened * 0.45, wide * 0.6, opened * 0.4 + 0.002, (215, 210, 200))
    else:
        curve = 0.006 + 0.05 * abs(expression.smile)
        brush.line(0, down, wide, curve, mouth.colour * 0.5, (0, 180), 2)
    _label(labels, 0, down, wide * 1.05, mouth.high + opened, FEATURES.index("mouth") + 1)


def _label(
    labels: NDArray[np.uint8], aside: float, down: float, wide: float, high: float, value: int
) -> None:
    import cv2

    unit = ATLAS * 16 / np.pi
    # The first pixel's centre is half a pixel from the edge.
    middle = round((aside / (2 * np.pi) + 0.5) * ATLAS * 16) - 8, round(down * unit) - 8
    axes = max(1, round(wide * unit / 2)), max(1, round(high * unit))
    cv2.ellipse(labels, middle, axes, 0, 0, 360, value, -1, cv2.LINE_8, 4)
