"""Pictures of puppet parts: a shape, a texture, perhaps an outline and shading; and backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeanim.models.data.textures import PATTERNS, Colour, Picture, random_colour, texture

_SUPERSAMPLE = 4
_MARGIN = 3


@dataclass(frozen=True)
class Look:
    """How a puppet is drawn. Colours are RGB 0..255. The pattern "photo" is cut from one of
    `photographs`, each uint8 [h, w, 3] of 64 pixels a side or more."""

    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    outline: bool
    shading: float
    top_pattern: str
    bottom_pattern: str
    photographs: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Sprite:
    """RGBA uint8 `picture` whose pixel `origin` (x, y) is the part's own (0, 0), its joint."""

    picture: Picture
    origin: tuple[float, float]


def random_look(rng: np.random.Generator) -> Look:
    """A look with skin tones from pale to dark, or, for a quarter of the puppets, any colour."""
    pale, dark = np.array([250, 215, 190]), np.array([90, 55, 40])
    share = rng.uniform()
    skin = (pale * (1 - share) + dark * share).astype(np.float32)
    if rng.uniform() < 0.25:
        skin = random_colour(rng)
    return Look(
        skin=skin,
        hair=random_colour(rng, 10, 200),
        top=random_colour(rng),
        bottom=random_colour(rng, 10, 220),
        outline=bool(rng.uniform() < 0.4),
        shading=float(rng.choice([0.0, 0.25, 0.5])),
        top_pattern=str(rng.choice(PATTERNS)),
        bottom_pattern=str(rng.choice(PATTERNS)),
    )


def background(rng: np.random.Generator, size: int) -> Picture:
    """A textured backdrop [size, size, 3]: a pattern, a few large shapes, a little noise."""
    import cv2

    patch = texture(rng, size, size, random_colour(rng), str(rng.choice(PATTERNS)))
    for _ in range(int(rng.integers(0, 6))):
        colour = tuple(float(c) for c in random_colour(rng))
        centre = tuple(int(v) for v in rng.uniform(0, size, 2))
        axes = tuple(int(v) for v in rng.uniform(size / 20, size / 3, 2))
        if rng.uniform() < 0.5:
            corner = (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(patch, centre, corner, colour, -1)
        else:
            cv2.ellipse(patch, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    if rng.uniform() < 0.5:
        patch = cv2.GaussianBlur(patch, (0, 0), float(rng.uniform(1, 4)))
    noise = rng.normal(0, rng.uniform(0, 4), patch.shape)
    return np.clip(patch + noise, 0, 255).astype(np.uint8)


def draw_sprite(
    rng: np.random.Generator,
    box: tuple[float, float, float, float],
    draw: Callable[[Any, Callable[[float, float], tuple[int, int]], float], None],
    base: Colour,
    pattern: str,
    look: Look,
) -> Sprite:
    """A part that fills what `draw(mask, to_pixel, scale)` paints with 255 inside `box`.

    `box` is x0, y0, x1, y1 in the part's own coordinates; `to_pixel` maps those to mask pixels.
    """
    import cv2

    x0, y0 = np.floor(box[0]) - _MARGIN, np.floor(box[1]) - _MARGIN
    width = int(np.ceil(box[2]) + _MARGIN - x0)
    height = int(np.ceil(box[3]) + _MARGIN - y0)
    mask = np.zeros((height * _SUPERSAMPLE, width * _SUPERSAMPLE), np.uint8)

    def to_pixel(x: float, y: float) -> tuple[int, int]:
        return round((x - x0) * _SUPERSAMPLE), round((y - y0) * _SUPERSAMPLE)

    draw(mask, to_pixel, _SUPERSAMPLE)
    colour = texture(rng, height, width, base, pattern, look.photographs)
    if look.shading:
        light = np.linspace(1 + look.shading / 2, 1 - look.shading, width, dtype=np.float32)
        colour = colour * light[None, :, None]
    alpha = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    if look.outline:
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=_SUPERSAMPLE)
        inside = cv2.resize(inner, (width, height), interpolation=cv2.INTER_AREA)[:, :, None]
        colour = colour * (inside / 255.0) + 25.0 * (1 - inside / 255.0)
    picture = np.dstack([np.clip(colour, 0, 255).astype(np.uint8), alpha])
    return Sprite(picture, (-float(x0), -float(y0)))


def limb(
    rng: np.random.Generator,
    length: float,
    widths: tuple[float, float],
    base: Colour,
    pattern: str,
    look: Look,
    end: tuple[float, Colour] | None = None,
) -> Sprite:
    """A tapering limb from its joint at (0, 0) down to (0, length), `widths` at both ends.

    `end` is a hand or foot: radius and colour of a disc at the far end.
    """
    import cv2

    reach = max(widths) / 2
    radius = end[0] if end else 0.0

    def draw(mask: Any, to_pixel: Callable[[float, float], tuple[int, int]], scale: float) -> None:
        top, bottom = widths[0] / 2, widths[1] / 2
        outline = [(-top, 0), (top, 0), (bottom, length), (-bottom, length)]
        cv2.fillPoly(mask, [np.array([to_pixel(*p) for p in outline], np.int32)], 255)
        cv2.circle(mask, to_pixel(0, 0), round(top * scale), 255, -1)
        cv2.circle(mask, to_pixel(0, length), round(bottom * scale), 255, -1)
        if end:
            cv2.circle(mask, to_pixel(0, length + radius * 0.6), round(radius * scale), 255, -1)

    side = max(reach, radius)
    box = (-side, -reach, side, length + max(widths[1] / 2, radius * 1.6))
    sprite = draw_sprite(rng, box, draw, base, pattern, look)
    if end:
        start = round(sprite.origin[1] + length - radius * 0.3)
        patch = sprite.picture[start:, :, :3].astype(np.float32)
        keep = patch.mean(2, keepdims=True) < 30 if look.outline else np.zeros_like(patch[:, :, :1])
        sprite.picture[start:, :, :3] = np.where(keep, patch, end[1]).astype(np.uint8)
    return sprite


def ellipse(
    rng: np.random.Generator,
    radii: tuple[float, float],
    base: Colour,
    pattern: str,
    look: Look,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Sprite:
    """An ellipse around `centre`, in the part's own coordinates."""
    import cv2

    def draw(mask: Any, to_pixel: Callable[[float, float], tuple[int, int]], scale: float) -> None:
        axes = (round(radii[0] * scale), round(radii[1] * scale))
        cv2.ellipse(mask, to_pixel(*centre), axes, 0, 0, 360, 255, -1)

    box = (
        centre[0] - radii[0],
        centre[1] - radii[1],
        centre[0] + radii[0],
        centre[1] + radii[1],
    )
    return draw_sprite(rng, box, draw, base, pattern, look)
