"""Paper, pens and crayons: the areas and lines of which sketches are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 420, 520
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """How it is drawn: `fill` is none, flat or scribble; `thick` of limbs is 0 for single lines."""

    pen: Colour
    width: int
    fill: str
    thick: float
    colours: tuple[Colour, ...]


class Sheet:
    """The paper being drawn on, and the mask of all that belongs to the character."""

    def __init__(self, paper: NDArray[np.uint8], style: Style, rng: np.random.Generator) -> None:
        self.picture, self.style, self.rng = paper, style, rng
        self.mask = np.zeros(paper.shape[:2], np.uint8)

    def shape(self, area: NDArray[np.uint8], colour: int) -> None:
        """Fill and outline an area (255 inside) and add it to the character."""
        import cv2

        style = self.style
        inside = area > 127
        if style.fill == "flat":
            self.picture[inside] = style.colours[colour]
        elif style.fill == "scribble":
            self.picture[inside & (self._strokes() > 0)] = style.colours[colour]
        outline, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(self.picture, outline, -1, style.pen, style.width, cv2.LINE_AA)
        cv2.drawContours(area, outline, -1, 255, style.width + 2)
        self.mask |= area

    def line(self, points: list[tuple[float, float]], width: int | None = None) -> None:
        """A line of the pen, part of the character."""
        import cv2

        path = [np.rint(np.array(points)).astype(np.int32)]
        wide = width or self.style.width
        cv2.polylines(self.picture, path, False, self.style.pen, wide, cv2.LINE_AA)
        cv2.polylines(self.mask, path, False, 255, wide + 3)

    def empty(self) -> NDArray[np.uint8]:
        """An area to draw a shape in."""
        return np.zeros_like(self.mask)

    def _strokes(self) -> NDArray[np.uint8]:
        """Crayon strokes to and fro over the whole sheet."""
        import cv2

        strokes = self.empty()
        angle, gap = self.rng.uniform(0, np.pi), self.rng.uniform(5, 9)
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        middle, reach = np.array([WIDTH, HEIGHT]) / 2, 420
        for offset in np.arange(-reach, reach, gap):
            ends = [
                middle + across * (offset + self.rng.normal(0, 1.5)) + s * reach * along
                for s in (-1, 1)
            ]
            low, high = (tuple(int(v) for v in np.rint(end)) for end in ends)
            cv2.line(strokes, low, high, 255, int(self.rng.integers(3, 7)))
        return strokes


def blank_paper(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paper under some light, perhaps ruled; its grain is finer than what is drawn."""
    import cv2

    base = rng.uniform(185, 255) + rng.normal(0, 6, 3)
    paper = np.full((HEIGHT, WIDTH, 3), base, np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    slope = rng.normal(0, 0.12, 2)
    paper *= (1 + slope[0] * (x / WIDTH - 0.5) + slope[1] * (y / HEIGHT - 0.5))[:, :, None]
    if rng.uniform() < 0.2:
        gap = int(rng.integers(14, 34))
        paper[::gap] *= 0.88
        if rng.uniform() < 0.5:
            paper[:, ::gap] *= 0.88
    grain = rng.normal(0, rng.uniform(0.5, 4), (HEIGHT, WIDTH, 1)).astype(np.float32)
    paper += cv2.GaussianBlur(grain, (3, 3), 0)[:, :, None]
    return np.clip(paper, 0, 255).astype(np.uint8)


def unsteady(rng: np.random.Generator, sheet: Sheet) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The drawing as an unsteady hand would have it, and its mask, loose about it."""
    import cv2

    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = x + _wavering(rng), y + _wavering(rng)
    picture = cv2.remap(sheet.picture, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    mask = cv2.remap(sheet.mask, x, y, cv2.INTER_LINEAR)
    kernel = np.ones((5, 5), np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
    body = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.ascontiguousarray(picture), body


def _wavering(rng: np.random.Generator) -> NDArray[np.float32]:
    """How far a hand strays along one axis, in pixels [HEIGHT, WIDTH]."""
    import cv2

    coarse = rng.normal(0, 1, (9, 7)).astype(np.float32) * rng.uniform(0.5, 3.5)
    field: NDArray[np.float32] = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return field
