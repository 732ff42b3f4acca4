"""Bodies of puppets: parts that hang on each other, sized and drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.puppets.sprites import Look, Sprite, ellipse, limb
from edgeanim.models.data.textures import random_colour


@dataclass(frozen=True)
class Part:
    """A sprite that hangs at `joint` of its parent's own coordinates (`None`: of the canvas)."""

    name: str
    region: str
    sprite: Sprite
    parent: str | None
    joint: tuple[float, float]
    depth: float


def figure_parts(rng: np.random.Generator, look: Look) -> list[Part]:
    """Origin at the middle of the torso. About 200 pixels tall."""
    width, height = rng.uniform(36, 58), rng.uniform(52, 72)
    head = rng.uniform(17, 30)
    arm, forearm, thick = rng.uniform(30, 42), rng.uniform(26, 36), rng.uniform(9, 17)
    leg, shin = rng.uniform(32, 42), rng.uniform(30, 40)
    sleeves = look.top if rng.uniform() < 0.7 else look.skin
    pattern, trousers = look.top_pattern, look.bottom_pattern
    parts = [_torso(rng, look, width, height)]
    for side, sign in (("left", -1), ("right", 1)):
        hip = (sign * width * 0.26, height * 0.45)
        thigh = limb(rng, leg, (thick * 1.5, thick * 1.2), look.bottom, trousers, look)
        foot = (thick * 0.8, random_colour(rng, 10, 120))
        shank = limb(rng, shin, (thick * 1.2, thick), look.bottom, trousers, look, foot)
        parts.append(Part(f"thigh {side}", f"leg, {side}", thigh, "torso", hip, -2.0))
        parts.append(Part(f"shin {side}", f"leg, {side}", shank, f"thigh {side}", (0, leg), -1.9))
    parts += _head(rng, look, head, (0.0, -height / 2), "torso")
    for side, sign in (("left", -1), ("right", 1)):
        depth = 3.0 if rng.uniform() < 0.8 else -0.5
        shoulder = (sign * width * 0.46, -height * 0.40)
        upper = limb(rng, arm, (thick * 1.15, thick), sleeves, pattern, look)
        hand = (rng.uniform(0.55, 0.8) * thick, look.skin)
        lower = limb(rng, forearm, (thick, thick * 0.75), sleeves, pattern, look, hand)
        parts.append(
            Part(f"upper arm {side}", f"upper arm, {side}", upper, "torso", shoulder, depth)
        )
        parts.append(
            Part(
                f"forearm {side}",
                f"forearm and hand, {side}",
                lower,
                f"upper arm {side}",
                (0, arm),
                depth + 0.5,
            )
        )
    return parts


def face_parts(rng: np.random.Generator, look: Look) -> list[Part]:
    """A large head over shoulders. Origin at the middle of the head."""
    head = rng.uniform(48, 66)
    width = head * rng.uniform(2.0, 2.8)
    torso = ellipse(
        rng, (width / 2, 90), look.top, look.top_pattern, look, centre=(0.0, head * 1.2 + 90)
    )
    return [
        Part("torso", "torso", torso, None, (0.0, 0.0), 0.0),
        *_head(rng, look, head, (0.0, head * 1.15), "torso"),
    ]


def _torso(rng: np.random.Generator, look: Look, width: float, height: float) -> Part:
    sprite = limb(
        rng,
        height * 0.6,
        (width, width * rng.uniform(0.75, 1.0)),
        look.top,
        look.top_pattern,
        look,
    )
    # Its joint is in the middle, so that the root's transform turns the figure about its waist.
    x, y = sprite.origin
    return Part("torso", "torso", Sprite(sprite.picture, (x, y + height * 0.3)), None, (0, 0), 0.0)


def _head(
    rng: np.random.Generator, look: Look, radius: float, neck: tuple[float, float], parent: str
) -> list[Part]:
    """Head with hair, and on it eyes and mouth. The head's joint is the neck, at its chin."""
    tall = radius * rng.uniform(1.05, 1.3)
    middle = -tall * 1.02
    skull = ellipse(rng, (radius, tall), look.skin, "flat", look, centre=(0.0, middle))
    _paint_hair(rng, skull, look, tall)
    eye = radius * rng.uniform(0.17, 0.26)
    apart = radius * rng.uniform(0.36, 0.46)
    # On a small head eyes and mouth are a few pixels: no region of their own, just its texture.
    own_region = radius >= 20
    parts = [Part("head", "head", skull, parent, neck, 1.0)]
    iris = random_colour(rng, 10, 150)
    for side, sign in (("left", -1), ("right", 1)):
        sprite = ellipse(
            rng, (eye * 1.25, eye), np.array([245, 245, 245], np.float32), "flat", look
        )
        _paint_disc(sprite, eye * 0.6, iris)
        _paint_disc(sprite, eye * 0.3, np.array([10, 10, 10], np.float32))
        place = (sign * apart, middle - tall * 0.12)
        region = "eyes" if own_region else "head"
        parts.append(Part(f"eye {side}", region, sprite, "head", place, 2.0))
    lips = np.array([160, 50, 60], np.float32) * rng.uniform(0.5, 1.2)
    mouth = ellipse(
        rng,
        (radius * rng.uniform(0.28, 0.45), radius * 0.13),
        lips.astype(np.float32),
        "flat",
        look,
    )
    region = "mouth" if own_region else "head"
    parts.append(Part("mouth", region, mouth, "head", (0.0, middle + tall * 0.5), 2.0))
    return parts


def _paint_hair(rng: np.random.Generator, skull: Sprite, look: Look, tall: float) -> None:
    height, width = skull.picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    line = height * rng.uniform(0.2, 0.36) + rng.uniform(-0.3, 0.5) * np.abs(x - width / 2)
    hair = y < line
    if rng.uniform() < 0.3:
        hair |= (np.abs(x - width / 2) > width * 0.42) & (y < tall * 1.6)
    skull.picture[hair, :3] = np.clip(look.hair, 0, 255).astype(np.uint8)


def _paint_disc(sprite: Sprite, radius: float, colour: NDArray[np.float32]) -> None:
    import cv2

    centre = (round(sprite.origin[0] * 16), round(sprite.origin[1] * 16))
    layer = np.ascontiguousarray(sprite.picture[:, :, :3])
    rgb = tuple(float(c) for c in colour)
    cv2.circle(layer, centre, round(radius * 16), rgb, -1, cv2.LINE_AA, 4)
    sprite.picture[:, :, :3] = layer
