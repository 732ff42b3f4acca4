"""Procedural puppets: faces and full figures of jointed parts whose masks and motion are known.

A puppet is a tree of textured sprites. A pose gives each part an angle, a stretch and a shift
about its joint; rendering places the sprites back to front. So for every frame we know which part
each pixel shows and the exact transform of each part, from which region masks, motions and the
dense flow to any other frame follow (see `samples`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.sprites import (
    Look,
    Picture,
    Sprite,
    background,
    ellipse,
    limb,
    random_colour,
    random_look,
)
from edgeanim.models.regions import REGIONS

SIZE = 256
"""Side of the canvas in pixels; part dimensions are in these pixels."""
Kind = Literal["figure", "upper body", "face"]
KINDS: tuple[Kind, ...] = ("figure", "upper body", "face")
NO_PART = 255
Affine = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A sprite that hangs at `joint` of its parent's own coordinates (`None`: of the canvas)."""

    name: str
    region: str
    sprite: Sprite
    parent: str | None
    joint: tuple[float, float]
    depth: float


@dataclass(frozen=True)
class PartPose:
    """Angle in radians (clockwise on screen), stretch in x and y, shift; about the part's joint."""

    angle: float = 0.0
    stretch: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)


Pose = dict[str, PartPose]


@dataclass(frozen=True)
class Puppet:
    """`parts` parents first; `place` is the whole puppet's transform on the canvas [2, 3]."""

    kind: Kind
    parts: tuple[Part, ...]
    place: Affine
    backdrop: Picture
    order: tuple[int, ...] = field(default=())

    @property
    def regions(self) -> NDArray[np.uint8]:
        """The region index of each part, [P]."""
        return np.array([REGIONS.index(part.region) for part in self.parts], np.uint8)


@dataclass(frozen=True)
class Frame:
    """`picture` uint8 [S, S, 3] RGB; `parts` uint8 [S, S], the index of the part that each pixel
    shows (`NO_PART`: backdrop); `transforms` [P, 2, 3] from sprite pixels to canvas pixels."""

    picture: Picture
    parts: NDArray[np.uint8]
    transforms: Affine


def make_puppet(seed: int, kind: Kind | None = None) -> Puppet:
    """The puppet of this seed; the same one every time."""
    rng = np.random.default_rng([seed, 1])
    kind = kind or KINDS[int(rng.choice(3, p=[0.35, 0.4, 0.25]))]
    look = random_look(rng)
    parts = _face(rng, look) if kind == "face" else _figure(rng, look)
    order = tuple(int(i) for i in np.argsort([part.depth for part in parts], kind="stable"))
    return Puppet(kind, tuple(parts), _place(rng, kind), background(rng, SIZE), order)


def render(puppet: Puppet, pose: Pose) -> Frame:
    """One frame of the puppet in this pose."""
    import cv2

    transforms = _transforms(puppet, pose)
    picture = puppet.backdrop.copy()
    shown = np.full(picture.shape[:2], NO_PART, np.uint8)
    for index in puppet.order:
        sprite = puppet.parts[index].sprite.picture
        matrix, corner, size = _window(transforms[index], sprite.shape)
        if min(size) < 1:
            continue
        patch = cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR)
        rows, columns = (
            slice(corner[1], corner[1] + size[1]),
            slice(corner[0], corner[0] + size[0]),
        )
        alpha = patch[:, :, 3:].astype(np.uint16)
        under = picture[rows, columns]
        picture[rows, columns] = (patch[:, :, :3] * alpha + under * (255 - alpha) + 127) // 255
        shown[rows, columns][patch[:, :, 3] > 127] = index
    return Frame(picture, shown, transforms)


def _transforms(puppet: Puppet, pose: Pose) -> Affine:
    frames: dict[str, NDArray[np.float64]] = {}
    result = np.empty((len(puppet.parts), 2, 3), np.float32)
    for index, part in enumerate(puppet.parts):
        parent = _square(puppet.place) if part.parent is None else frames[part.parent]
        own = pose.get(part.name, PartPose())
        cos, sin = np.cos(own.angle), np.sin(own.angle)
        local = np.array(
            [
                [cos * own.stretch[0], -sin * own.stretch[1], part.joint[0] + own.shift[0]],
                [sin * own.stretch[0], cos * own.stretch[1], part.joint[1] + own.shift[1]],
                [0, 0, 1],
            ]
        )
        frames[part.name] = parent @ local
        origin = np.array(
            [[1, 0, -part.sprite.origin[0]], [0, 1, -part.sprite.origin[1]], [0, 0, 1]]
        )
        result[index] = (frames[part.name] @ origin)[:2]
    return result


def _window(
    transform: Affine, shape: tuple[int, ...]
) -> tuple[Affine, tuple[int, int], tuple[int, int]]:
    """The transform relative to the part of the canvas that the sprite covers, and that part."""
    height, width = shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float32)
    points = corners @ transform.T
    low = np.clip(np.floor(points.min(0)), 0, SIZE).astype(int)
    high = np.clip(np.ceil(points.max(0)) + 1, 0, SIZE).astype(int)
    matrix = transform.copy()
    matrix[:, 2] -= low
    return matrix, (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def _square(affine: Affine) -> NDArray[np.float64]:
    return np.vstack([affine, [0, 0, 1]]).astype(np.float64)


def _place(rng: np.random.Generator, kind: Kind) -> Affine:
    scale = {
        "figure": rng.uniform(0.75, 1.05),
        "upper body": rng.uniform(1.1, 1.7),
        "face": rng.uniform(0.8, 1.3),
    }[kind]
    height = {
        "figure": rng.uniform(105, 125),
        "upper body": rng.uniform(170, 205),
        "face": rng.uniform(115, 150),
    }[kind]
    angle = rng.normal(0, 0.06)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, rng.uniform(100, 156)], [sin, cos, height]], np.float32)


def _figure(rng: np.random.Generator, look: Look) -> list[Part]:
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


def _face(rng: np.random.Generator, look: Look) -> list[Part]:
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
