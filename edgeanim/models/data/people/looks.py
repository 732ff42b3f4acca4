"""What people look like: how they are built, their colours, and what their surfaces are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.people.geometry import Floats
from edgeanim.models.data.people.surfaces import ATLAS
from edgeanim.models.data.textures import RICH_PATTERNS, Picture, random_colour, texture

Texture = NDArray[np.float32]
"""[ATLAS, ATLAS, 3], RGB 0..255."""
Framing = Literal["bust", "upper body", "figure"]
FRAMINGS: tuple[Framing, ...] = ("bust", "upper body", "figure")
HairStyle = Literal["short", "long", "bald", "bun"]
_HAIR_STYLES: tuple[HairStyle, ...] = ("short", "long", "bald", "bun")
_PALE, _DARK = np.array([238, 196, 170]), np.array([84, 54, 40])
_HAIR = np.array(
    [[25, 20, 18], [60, 40, 25], [110, 75, 40], [190, 150, 90], [140, 60, 30], [150, 150, 150]]
)


@dataclass(frozen=True)
class HeadShape:
    """Half its width and depth; how wide the jaw is beside that; how far chin, nose, brow and cheek
    stand out; the nose's half width in radians."""

    wide: float
    deep: float
    jaw: float
    chin: float
    nose: float
    nose_wide: float
    brow: float
    cheek: float


@dataclass(frozen=True)
class Build:
    """Lengths in heads; `girth` is how stout somebody is, 1 being usual."""

    head: HeadShape
    girth: float
    shoulder: float
    upper_arm: float
    forearm: float
    trunk: float
    neck: float
    hand: float


@dataclass(frozen=True)
class Colours:
    """Of `skin` and `hair`, RGB 0..255; how the hair is worn, how long it hangs in heads, and by
    what share of the head's size it stands out."""

    skin: Floats
    hair: Floats
    hair_style: HairStyle
    hair_long: float
    hair_bulk: float


@dataclass(frozen=True)
class Clothes:
    """What `top` and `bottom` are made of, and down to which share of the arm the sleeves reach."""

    top: Texture
    bottom: Texture
    sleeve: float


def random_build(rng: np.random.Generator, hand: float) -> Build:
    """A body of any kind; the size of its `hand` is given."""
    draw = rng.uniform
    head = HeadShape(
        wide=draw(0.31, 0.38),
        deep=draw(0.38, 0.45),
        jaw=draw(0.55, 0.9),
        chin=draw(0.0, 0.05),
        nose=draw(0.05, 0.11),
        nose_wide=draw(0.10, 0.17),
        brow=draw(0, 0.025),
        cheek=draw(0, 0.02),
    )
    return Build(
        head,
        girth=draw(0.85, 1.25),
        shoulder=draw(0.72, 0.95),
        upper_arm=draw(1.2, 1.45),
        forearm=draw(1.0, 1.2),
        trunk=draw(2.2, 2.6),
        neck=draw(0.16, 0.36),
        hand=hand,
    )


def random_colours(rng: np.random.Generator, hair_long: float, hair_bulk: float) -> Colours:
    """Skin from pale to dark, hair of people's colours or, now and then, of any."""
    share = rng.uniform() ** 1.3
    skin = np.clip(_PALE * (1 - share) + _DARK * share + rng.normal(0, 8, 3), 20, 250)
    natural = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.7, 1.2)
    hair = np.clip(natural + rng.normal(0, 6, 3), 5, 240)
    if rng.uniform() < 0.08:
        hair = random_colour(rng)
    style = _HAIR_STYLES[int(rng.choice(4, p=[0.42, 0.38, 0.1, 0.1]))]
    return Colours(skin, hair, style, hair_long, hair_bulk)


def random_clothes(rng: np.random.Generator, photographs: tuple[Picture, ...]) -> Clothes:
    """Plain or patterned; with photographs, a part is cut from those."""
    patterns = (*RICH_PATTERNS, *["flat"] * 8, *["photo"] * (4 if photographs else 0))
    top, bottom = (_cloth(rng, patterns, photographs) for _ in range(2))
    sleeve = float(rng.choice([0.0, 0.3, 0.5, 1.0], p=[0.12, 0.16, 0.1, 0.62]))
    return Clothes(top, bottom, sleeve)


def noise(rng: np.random.Generator, cells: int, side: int = ATLAS) -> NDArray[np.float32]:
    """Smooth noise [side, side] about 0 with a deviation of nearly 1, of so many cells each way."""
    return _stretched(rng, (cells, cells), side)


def skin_texture(rng: np.random.Generator, skin: Floats) -> Texture:
    """Skin, a little uneven."""
    plain = np.tile(skin.astype(np.float32), (ATLAS, ATLAS, 1))
    plain *= (1 + noise(rng, 6) * 0.03 + noise(rng, 40) * 0.02)[:, :, None]
    return plain


def hair_texture(rng: np.random.Generator, hair: Floats) -> Texture:
    """Strands of hair, down the surface."""
    strands, locks = (_stretched(rng, cells, ATLAS) for cells in ((3, 64), (6, 14)))
    shade = (1 + 0.14 * strands + 0.14 * locks)[:, :, None]
    return np.clip(hair * shade + 3 * strands[:, :, None], 0, 255).astype(np.float32)


def folded(rng: np.random.Generator, cloth: NDArray[np.floating]) -> NDArray[np.floating]:
    """Cloth whose folds are lighter and darker."""
    wide = noise(rng, int(rng.integers(4, 9))) * rng.uniform(0.02, 0.12)
    fine = noise(rng, int(rng.integers(12, 26))) * rng.uniform(0.01, 0.07)
    folds: NDArray[np.floating] = np.clip(cloth * (1 + (wide + fine))[:, :, None], 0, 255)
    return folds


def trunk_texture(rng: np.random.Generator, clothes: Clothes, skin: Floats) -> Texture:
    """Neckline, top, perhaps buttons, a lanyard or a print, and trousers from the belt down."""
    cloth = folded(rng, clothes.top.copy())
    y, x = np.mgrid[0:ATLAS, 0:ATLAS].astype(np.float32) / ATLAS
    angle = (x - 0.5) * 2 * np.pi
    neck = _NECKLINES[str(rng.choice(["round", "v", "high", "open"]))](angle)
    cloth = _laid(cloth, y < neck, skin_texture(rng, skin))
    if rng.uniform() < 0.4:
        cloth = _laid(cloth, np.abs(y - neck) < 0.012, cloth * 0.55)
    belt = rng.uniform(0.72, 1.05)
    cloth = _laid(cloth, y > belt, folded(rng, clothes.bottom))
    if rng.uniform() < 0.35:
        cloth = _laid(cloth, (np.abs(angle) < 0.02) & (y > neck) & (y < belt), cloth * 0.6)
    if rng.uniform() < 0.3:
        for sign in (-1, 1):
            ribbon = (np.abs(angle - sign * (0.5 - y) * 0.9) < 0.04) & (y < 0.5)
            cloth = _laid(cloth, ribbon, random_colour(rng, 10, 120))
        badge = (np.abs(angle) < 0.1) & (np.abs(y - 0.55) < 0.06)
        cloth = _laid(cloth, badge, random_colour(rng, 120, 250))
    if rng.uniform() < 0.3:
        middle, height, half = rng.uniform(-0.3, 0.3), rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.4)
        place = (np.abs(angle - middle) < half) & (np.abs(y - height) < half * 0.25)
        colour = random_colour(rng)
        shown = texture(rng, ATLAS, ATLAS, colour, str(rng.choice(RICH_PATTERNS)))
        cloth = _laid(cloth, place, shown)
    return cloth.astype(np.float32)


def sleeve_texture(rng: np.random.Generator, clothes: Clothes, skin: Floats) -> Texture:
    """A sleeve, and bare skin below it."""
    cloth = folded(rng, clothes.top.copy())
    if clothes.sleeve < 1:
        down = np.mgrid[0:ATLAS, 0:ATLAS].astype(np.float32)[0] / ATLAS
        cloth = _laid(cloth, down > clothes.sleeve, skin_texture(rng, skin))
    return cloth.astype(np.float32)


def leg_texture(rng: np.random.Generator, clothes: Clothes) -> Texture:
    """A trouser's leg with a shoe."""
    cloth = folded(rng, clothes.bottom.copy())
    cloth[int(ATLAS * 0.93) :] = random_colour(rng, 10, 120)
    return cloth.astype(np.float32)


_NECKLINES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.floating]]] = {
    "round": lambda angle: 0.062 + 0.03 * np.cos(np.clip(angle * 1.2, -np.pi, np.pi)),
    "v": lambda angle: 0.055 + np.maximum(0, 0.16 - 0.35 * np.abs(angle)),
    "high": lambda angle: np.full_like(angle, 0.02),
    "open": lambda angle: 0.07 + np.maximum(0, 0.3 - 0.5 * np.abs(angle)),
}
"""How far down the trunk bare skin reaches, by the angle round it; 0 is the front."""


def _cloth(
    rng: np.random.Generator, patterns: tuple[str, ...], photographs: tuple[Picture, ...]
) -> Texture:
    import cv2

    base: Floats = random_colour(rng, 15, 245).astype(np.float64)
    if rng.uniform() < 0.4:
        base = np.full(3, rng.uniform(15, 240)) + rng.normal(0, 12, 3)
    side = int(rng.choice([ATLAS, 2 * ATLAS]))
    pattern = str(rng.choice(patterns))
    patch = texture(rng, side, side, base.astype(np.float32), pattern, photographs)
    return np.asarray(cv2.resize(patch, (ATLAS, ATLAS), interpolation=cv2.INTER_AREA))


def _laid(
    cloth: NDArray[np.floating], mask: NDArray[np.bool_], over: NDArray[np.floating]
) -> NDArray[np.floating]:
    """`over`, a texture or a colour, on the cloth where the mask is."""
    return np.where(mask[:, :, None], over, cloth)


def _stretched(rng: np.random.Generator, cells: tuple[int, int], side: int) -> NDArray[np.float32]:
    import cv2

    grid = rng.normal(0, 1, cells).astype(np.float32)
    return np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC))
