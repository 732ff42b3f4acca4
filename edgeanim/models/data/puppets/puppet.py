"""Procedural puppets: faces and full figures of jointed parts whose masks and motion are known.

A puppet is a tree of textured sprites. A pose gives each part an angle, a stretch and a shift
about its joint; rendering places the sprites back to front. So for every frame we know which part
each pixel shows and the exact transform of each part, from which region masks, motions and the
dense flow to any other frame follow (see `known_flow`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.puppets.anatomy import Part, face_parts, figure_parts
from edgeanim.models.data.puppets.sprites import Look, background, random_look
from edgeanim.models.data.textures import Picture
from edgeanim.models.regions import REGIONS

SIZE = 256
"""Side of the canvas in pixels; part dimensions are in these pixels."""
Kind = Literal["figure", "upper body", "face"]
KINDS: tuple[Kind, ...] = ("figure", "upper body", "face")
NO_PART = 255
Affine = NDArray[np.float32]


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

    @property
    def order(self) -> tuple[int, ...]:
        """The indices of the parts, back to front."""
        return tuple(np.argsort([part.depth for part in self.parts], kind="stable").tolist())

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


def make_puppet(seed: int, kind: Kind | None = None, look: Look | None = None) -> Puppet:
    """The puppet of this seed; the same one every time. `look` overrides how it is drawn."""
    rng = np.random.default_rng([seed, 1])
    kind = kind or KINDS[int(rng.choice(3, p=[0.35, 0.4, 0.25]))]
    look = look or random_look(rng)
    parts = face_parts(rng, look) if kind == "face" else figure_parts(rng, look)
    return Puppet(kind, tuple(parts), _place(rng, kind), background(rng, SIZE))


def render(puppet: Puppet, pose: Pose) -> Frame:
    """One frame of the puppet in this pose."""
    sprites = [part.sprite.picture for part in puppet.parts]
    return paint(puppet.backdrop, sprites, part_transforms(puppet, pose), puppet.order)


def paint(
    backdrop: Picture, sprites: Sequence[Picture], transforms: Affine, order: Sequence[int]
) -> Frame:
    """Sprites (RGBA) placed by `transforms` over a backdrop, in this order."""
    import cv2

    picture = backdrop.copy()
    shown = np.full(picture.shape[:2], NO_PART, np.uint8)
    for index in order:
        sprite = sprites[index]
        matrix, corner, size = _window(transforms[index], sprite.shape)
        if min(size) < 1:
            continue
        patch = cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR)
        rows, columns = (
            slice(corner[1], corner[1] + size[1]),
            slice(corner[0], corner[0] + size[0]),
        )
        lay_over(picture[rows, columns], patch[:, :, :3], patch[:, :, 3:])
        shown[rows, columns][patch[:, :, 3] > 127] = index
    return Frame(picture, shown, transforms)


def lay_over(under: Picture, colours: Picture, alpha: Picture) -> None:
    """Lay `colours` [H, W, 3] of this `alpha` [H, W, 1] over a part of a picture, in place."""
    share = alpha.astype(np.uint16)
    under[:] = (colours * share + under * (255 - share) + 127) // 255


def on_canvas(points: NDArray[Any]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The part of the canvas that has these points [N, 2] in it: x and y of its first pixel, and of
    the one behind its last; of no size where all are outside."""
    low = np.clip(np.floor(points.min(0)), 0, SIZE).astype(int)
    high = np.clip(np.ceil(points.max(0)) + 1, 0, SIZE).astype(int)
    return low, high


def part_transforms(puppet: Puppet, pose: Pose) -> Affine:
    """Where the parts of a puppet in this pose are: [P, 2, 3], sprite pixels to canvas pixels."""
    frames: dict[str, NDArray[np.float64]] = {}
    result = np.empty((len(puppet.parts), 2, 3), np.float32)
    for index, part in enumerate(puppet.parts):
        parent = homogeneous(puppet.place) if part.parent is None else frames[part.parent]
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
    low, high = on_canvas(corners @ transform.T)
    matrix = transform.copy()
    matrix[:, 2] -= low
    return matrix, (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def homogeneous(transforms: Affine) -> NDArray[np.float64]:
    """Transforms [..., 2, 3] as matrices [..., 3, 3], which can be multiplied and inverted."""
    full = np.zeros((*transforms.shape[:-2], 3, 3))
    full[..., :2, :] = transforms
    full[..., 2, 2] = 1
    return full


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
