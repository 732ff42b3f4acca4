"""Pictures of bodies: a camera, a lamp, and which patch each pixel shows.

Quads are painted from the farthest to the nearest, at twice the picture's size; each pixel's
colour is then looked up on its surface and lit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.people.geometry import Floats, quad_corners, unit
from edgeanim.models.data.people.looks import Framing, Texture
from edgeanim.models.data.people.surfaces import ATLAS, Surface
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE
from edgeanim.models.data.textures import Picture

_FINER = 2
_SPANS: dict[Framing, tuple[float, float]] = {
    "bust": (2.0, 3.2),
    "upper body": (3.4, 5.2),
    "figure": (7.6, 9.8),
}
"""How many heads the picture is high."""
_ROOM: dict[Framing, tuple[float, float]] = {
    "bust": (0.1, 0.7),
    "upper body": (0.1, 0.7),
    "figure": (0.3, 1.2),
}
"""Heads between the crown and the picture's upper edge."""
_SUBPIXEL = 16
_LONGEST = 4096
"""Pixels in a row of what `cv2.remap` is asked for at once: it takes less than 32,768."""


@dataclass(frozen=True)
class Camera:
    """`zoom` is pixels to a head, `far` its distance in heads; it looks at `centre` (x, y)."""

    zoom: float
    far: float
    centre: Floats

    def seen(self, vertices: Floats) -> Floats:
        """Pixels [..., 2] of points [..., 3]."""
        nearer = self.far / (self.far - vertices[..., 2:])
        places: Floats = (vertices[..., :2] - self.centre) * nearer * self.zoom + SIZE / 2
        return places


@dataclass(frozen=True)
class Lamp:
    """A lamp in the direction `towards` [3] of strength `key`, light from all around, a `tint` [3],
    and how dark corners are."""

    towards: Floats
    ambient: float
    key: float
    tint: Floats
    corners: float


class Surroundings(NamedTuple):
    """What a body is seen in."""

    backdrop: Picture
    lamp: Lamp
    camera: Camera


class Quads(NamedTuple):
    """The quads that face the camera, all surfaces together: `places` [Q, 4, 2] in pixels, `depths`
    [Q, 4], `normals` [Q, 4, 3], and `where` [Q, 3]: surface, ring and segment. Corners go round,
    from the upper left."""

    places: Floats
    depths: Floats
    normals: Floats
    where: NDArray[np.int64]


def random_lamp(rng: np.random.Generator) -> Lamp:
    """From any side of the camera, hard or soft, warm or cold."""
    aside, above = rng.uniform(-1.2, 1.2), rng.uniform(0.1, 1.1)
    towards = np.array(
        [np.sin(aside) * np.cos(above), -np.sin(above), np.cos(aside) * np.cos(above)]
    )
    ambient = rng.uniform(0.3, 0.75)
    key = 1.15 - ambient * rng.uniform(0.6, 1.0)
    return Lamp(towards, ambient, key, rng.uniform(0.9, 1.1, 3), rng.uniform(0.15, 0.5))


def random_camera(rng: np.random.Generator, framing: Framing, neck: float) -> Camera:
    """A camera for somebody with such a neck."""
    span = {kind: rng.uniform(*ends) for kind, ends in _SPANS.items()}[framing]
    far = rng.uniform(9, 30)
    room = {kind: rng.uniform(*ends) for kind, ends in _ROOM.items()}[framing]
    centre = np.array([rng.uniform(-0.14, 0.14) * span, -(1.0 + neck) - room + span / 2])
    return Camera(SIZE / span, far, centre)


def facing_quads(vertices: Sequence[Floats], seen: Sequence[Floats]) -> Quads:
    """The quads of all surfaces, given as `posed` has them, that face the camera."""
    found = []
    for number, (grid, places) in enumerate(zip(vertices, seen, strict=True)):
        corners = quad_corners(places)
        one, other = (corners[..., k, :] - corners[..., k + 2, :] for k in (1, 0))
        facing = one[..., 0] * other[..., 1] - other[..., 0] * one[..., 1] < 0
        ring, segment = np.nonzero(facing)
        where = np.stack([np.full(len(ring), number), ring, segment], axis=1)
        found.append(
            Quads(
                corners[facing],
                quad_corners(grid[..., 2])[facing],
                quad_corners(_normals(grid))[facing],
                where,
            )
        )
    return Quads(*(np.concatenate(column) for column in zip(*found, strict=True)))


def picture_of(
    surfaces: Sequence[Surface],
    textures: Sequence[Texture],
    quads: Quads,
    around: Surroundings,
    labels: dict[int, NDArray[np.uint8]],
) -> tuple[Picture, NDArray[np.uint8]]:
    """The picture [SIZE, SIZE, 3], and the patch that each pixel shows [SIZE, SIZE], counted
    through all surfaces; `NO_PART` is the backdrop.

    `textures` are the surfaces' at this moment. `labels` [ATLAS, ATLAS] of a surface, by number,
    are features of their own where they are not 0: they count on after the last patch.
    """
    import cv2

    side = SIZE * _FINER
    shown = _painted(quads, side)
    rows, columns = np.nonzero(shown >= 0)
    quad = shown[rows, columns]
    share = _share(quads.places[quad], np.stack([columns, rows], axis=1))
    weights = _corner_weights(*share)
    surface, ring, segment = quads.where[quad].T
    rings, segments = (np.array([each.patch.shape[k] for each in surfaces]) for k in (0, 1))
    u = (segment + share[0]) / segments[surface] * ATLAS - 0.5
    v = np.clip((ring + share[1]) / rings[surface] * ATLAS - 0.5, 0, ATLAS - 1)
    colour = _sampled(np.concatenate(textures), u, v + surface * ATLAS)
    depth = (quads.depths[quad] * weights).sum(1)
    normal = (quads.normals[quad] * weights[..., None]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    darkened = _corner_darkness(rows, columns, depth, side, around.camera.zoom)
    lit = _lit(colour, normal, darkened, around.lamp)
    wide = cv2.resize(around.backdrop, (side, side), interpolation=cv2.INTER_CUBIC)
    canvas = wide.astype(np.float32)
    canvas[rows, columns] = np.clip(lit, 0, 255)
    picture = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    parts = np.full((side, side), NO_PART, np.uint8)
    label = _features(surface, u, v, labels)
    patches = sum(len(each.regions) for each in surfaces)
    assert patches + max((int(each.max()) for each in labels.values()), default=0) <= NO_PART
    parts[rows, columns] = np.where(
        label > 0, patches + label - 1, _patch_numbers(surfaces, quads)[quad]
    )
    return picture, np.ascontiguousarray(parts[1::_FINER, 1::_FINER])


def _features(
    surface: NDArray[np.int64], u: Floats, v: Floats, labels: dict[int, NDArray[np.uint8]]
) -> NDArray[np.int64]:
    """The label of each of the places (u, v) of the surfaces with these numbers [N]; 0 for none."""
    found = np.zeros(len(surface), np.int64)
    for number, features in labels.items():
        on = surface == number
        row, column = (np.rint(np.clip(at[on], 0, ATLAS - 1)).astype(int) for at in (v, u))
        found[on] = features[row, column]
    return found


def _normals(grid: Floats) -> Floats:
    over, down = np.gradient(grid, axis=1), np.gradient(grid, axis=0)
    over[:, 0] = over[:, -1] = grid[:, 1] - grid[:, -2]
    normals = np.cross(over, down)
    unit_long: Floats = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    return unit_long


def _painted(quads: Quads, side: int) -> NDArray[np.int32]:
    """The index of the quad that each pixel shows [side, side], -1 where there is none."""
    import cv2

    shown = np.full((side, side), -1, np.int32)
    points = np.rint(_finer(quads.places) * _SUBPIXEL).astype(np.int32)
    for index in np.argsort((quads.depths[:, 0] + quads.depths[:, 2]) / 2):
        cv2.fillConvexPoly(shown, points[index], int(index), shift=4)
    return shown


def _finer(places: Floats) -> Floats:
    """Pixels of the picture as pixels of what is painted; both have their centres at whole ones."""
    return places * _FINER + (_FINER - 1) / 2


def _share(corners: Floats, pixels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """How far each pixel [N, 2] is over and down its quad, whose corners are [N, 4, 2]: 0..1."""
    first = corners[:, 0]
    over, down = corners[:, 1] - first, corners[:, 3] - first
    x, y = ((pixels - (_FINER - 1) / 2) / _FINER - first).T
    size = over[:, 0] * down[:, 1] - over[:, 1] * down[:, 0]
    size = np.where(np.abs(size) < 1e-6, 1e-6, size)
    right = np.clip((x * down[:, 1] - y * down[:, 0]) / size, 0, 1)
    below = np.clip((over[:, 0] * y - over[:, 1] * x) / size, 0, 1)
    return right, below


def _corner_weights(right: Floats, below: Floats) -> Floats:
    return np.stack(
        [(1 - right) * (1 - below), right * (1 - below), right * below, (1 - right) * below], axis=1
    )


def _sampled(atlas: Texture, x: Floats, y: Floats) -> Texture:
    """The colours [N, 3] at so many places of an atlas."""
    import cv2

    padding = -len(x) % _LONGEST
    u, v = (np.pad(axis, (0, padding)).reshape(-1, _LONGEST).astype(np.float32) for axis in (x, y))
    colours = cv2.remap(
        atlas.astype(np.float32), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    found: Texture = colours.reshape(-1, 3)[: len(x)]
    return found


def _corner_darkness(
    rows: NDArray[np.int64], columns: NDArray[np.int64], depth: Floats, side: int, zoom: float
) -> Floats:
    """How much lies before each pixel's surroundings: 0..1, dark where an arm meets the trunk."""
    import cv2

    depths = np.full((side, side), depth.min() if len(depth) else 0, np.float32)
    depths[rows, columns] = depth
    small = cv2.resize(depths, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    reach = max(0.12 * zoom * _FINER / 4, 0.6)
    smooth = cv2.resize(cv2.GaussianBlur(small, (0, 0), reach), (side, side))
    darkness: Floats = np.clip((smooth[rows, columns] - depth) * 1.6, 0, 1)
    return darkness


def _lit(colour: Texture, normal: Floats, darkness: Floats, lamp: Lamp) -> Floats:
    """Half-Lambert light, more of it from above, and a weak gloss (Blinn 1977)."""
    from_lamp = np.clip((normal @ lamp.towards + 0.25) / 1.25, 0, 1)
    from_above = 0.5 - 0.5 * normal[:, 1]
    shade = lamp.ambient * (0.65 + 0.5 * from_above) + lamp.key * from_lamp
    shade = shade * (1 - lamp.corners * darkness)
    halfway = unit(lamp.towards + np.array([0, 0, 1.0]))
    gloss = np.clip(normal @ halfway, 0, 1) ** 24 * 22 * lamp.key
    lit: Floats = colour * (shade[:, None] * lamp.tint) + gloss[:, None]
    return lit


def _patch_numbers(surfaces: Sequence[Surface], quads: Quads) -> NDArray[np.int64]:
    """The patch of each quad, counted through all surfaces."""
    numbers = np.empty(len(quads.where), np.int64)
    first = 0
    for index, surface in enumerate(surfaces):
        own = quads.where[:, 0] == index
        numbers[own] = first + surface.patch[quads.where[own, 1], quads.where[own, 2]]
        first += len(surface.regions)
    return numbers
