"""Heads: their shape, which speech and hair change, and where eyes and mouth are on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.people.acting import Expression
from edgeanim.models.data.people.faces import OPENED, Face
from edgeanim.models.data.people.geometry import Floats, angles, bump, ramp
from edgeanim.models.data.people.looks import Build
from edgeanim.models.data.people.surfaces import ATLAS

RINGS = SEGMENTS = 48
_MARGIN = 0.02
"""Radians that are missing at the crown and under the chin, where all segments would meet."""


def head_vertices(build: Build, face: Face, expression: Expression) -> Floats:
    """The head about its middle: vertices [RINGS + 1, SEGMENTS + 1, 3], facing the camera."""
    shape = build.head
    angle = angles(SEGMENTS)[None]
    down = np.linspace(_MARGIN, np.pi - _MARGIN, RINGS + 1)[:, None]
    sin = np.sin(down)
    jaw = ramp(down, 1.5, 2.8)
    wide = shape.wide * (1 - (1 - shape.jaw) * 0.75 * jaw)
    deep = shape.deep * (1 - 0.22 * jaw)
    hair = _looked_up(face.hair, angle, down)
    bulk = face.colours.hair_bulk * hair
    ears = bump(np.abs(angle) - 1.6, 0.12, down - 1.62, 0.17)
    x = wide * sin * np.sin(angle) * (1 + bulk * 1.6)
    x = x + np.sign(angle) * 0.05 * ears * (1 - 0.7 * hair)
    z = deep * sin * np.cos(angle) * (1 + bulk) + _relief(build, angle, down) * sin
    z = z + 0.06 * ramp(down, 1.9, 2.8) * np.cos(angle)
    opened = 0.05 * expression.mouth * ramp(down, 2.1, 2.3) * np.exp(-((angle / 0.9) ** 2))
    y = -0.5 * np.cos(down) * (1 + bulk * 0.9) + opened
    return np.stack([x, y, z], axis=-1)


def feature_transforms(
    face: Face, expression: Expression, seen: Floats
) -> list[tuple[Floats, Floats]]:
    """For each of `FEATURES` its axes [2, 2] and its middle [2] in pixels, where the head's
    vertices are `seen` [RINGS + 1, SEGMENTS + 1, 2]."""
    eyes, mouth = face.eyes, face.mouth
    lid = expression.open
    lips = (expression.broad, 1 + OPENED * expression.mouth)
    found = []
    for aside, down, stretch in (
        (-eyes.aside, eyes.middle(expression), (1.0, lid)),
        (eyes.aside, eyes.middle(expression), (1.0, lid)),
        (0.0, mouth.down, lips),
    ):
        column = (aside / (2 * np.pi) + 0.5) * SEGMENTS
        row = (down - _MARGIN) / (np.pi - 2 * _MARGIN) * RINGS
        across = (_at(seen, row, column + 1) - _at(seen, row, column - 1)) / 2
        along = (_at(seen, row + 1, column) - _at(seen, row - 1, column)) / 2
        axes = np.stack(
            [
                across / (2 * np.pi / SEGMENTS * 40) * stretch[0],
                along / (np.pi / RINGS * 80) * stretch[1],
            ],
            axis=1,
        )
        found.append((axes, _at(seen, row, column)))
    return found


def _relief(build: Build, angle: Floats, down: Floats) -> Floats:
    """How far a face stands out of an egg, in heads."""
    shape = build.head
    aside = np.abs(angle)
    ridge = np.exp(-((angle / shape.nose_wide) ** 2))
    ridge = ridge * ramp(down, 1.42, 1.86) * ramp(-down, -1.97, -1.9)
    relief: Floats = (
        shape.nose * ridge
        + 0.03 * bump(angle, 0.13, down - 1.86, 0.06)  # the nose's tip
        - 0.035 * bump(aside - 0.37, 0.2, down - 1.5, 0.12)  # eye sockets
        + shape.brow * bump(aside - 0.3, 0.35, down - 1.33, 0.08)
        + 0.012 * bump(angle, 0.3, down - 2.1, 0.07)  # lips
        - 0.008 * bump(angle, 0.3, down - 2.24, 0.05)
        + (0.02 + shape.chin) * bump(angle, 0.28, down - 2.42, 0.14)
        + shape.cheek * bump(aside - 0.6, 0.25, down - 1.72, 0.18)
    )
    return relief


def _looked_up(texture: NDArray[np.float64], angle: Floats, down: Floats) -> NDArray[np.float32]:
    import cv2

    x, y = np.broadcast_arrays((angle / (2 * np.pi) + 0.5) * ATLAS, down / np.pi * ATLAS)
    values: NDArray[np.float32] = cv2.remap(
        texture.astype(np.float32),
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return values


def _at(grid: Floats, row: float, column: float) -> Floats:
    """The grid [R, S, 2] between its vertices."""
    i, j = int(row), int(column)
    down, right = row - i, column - j
    upper = grid[i, j] * (1 - right) + grid[i, j + 1] * right
    lower = grid[i + 1, j] * (1 - right) + grid[i + 1, j + 1] * right
    place: Floats = upper * (1 - down) + lower * down
    return place
