"""What is done to both pictures of a pair alike: turned, scaled, shifted, mirrored, recoloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.puppets.puppet import SIZE

Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Augmentation:
    """A similarity of the canvas, perhaps mirrored, and a colour change; the same for a whole pair.

    `matrix` [3, 3] takes canvas pixels (256 to a side) to canvas pixels. `gain` and `shift` [3]
    change the colours, whose channels `channels` reorders.
    """

    matrix: Affine
    mirrored: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: tuple[int, int, int] = (0, 1, 2)


PLAIN = Augmentation(np.eye(3))


def similarity(
    angle: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    *,
    mirrored: bool = False,
) -> Affine:
    """Turn (radians), scale, mirror about the canvas centre, then shift (pixels): [3, 3]."""
    centre = (SIZE - 1) / 2
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    sign = -1.0 if mirrored else 1.0
    turn = np.array([[cos * sign, -sin, 0], [sin * sign, cos, 0], [0, 0, 1]])
    to = np.array([[1, 0, centre + shift[0]], [0, 1, centre + shift[1]], [0, 0, 1]])
    back = np.array([[1, 0, -centre], [0, 1, -centre], [0, 0, 1]])
    result: Affine = to @ turn @ back
    return result


def random_augmentation(rng: np.random.Generator) -> Augmentation:
    """Mild turns, scales and shifts; half of the pairs mirrored; colours changed in most."""
    mirrored = bool(rng.uniform() < 0.5)
    shift = rng.uniform(-16, 16, 2)
    matrix = similarity(
        rng.uniform(-0.2, 0.2),
        rng.uniform(0.85, 1.3),
        (float(shift[0]), float(shift[1])),
        mirrored=mirrored,
    )
    gain, offset = rng.uniform(0.75, 1.25, 3), rng.uniform(-0.12, 0.12, 3)
    channels = rng.permutation(3) if rng.uniform() < 0.2 else np.arange(3)
    return Augmentation(
        matrix,
        mirrored,
        (float(gain[0]), float(gain[1]), float(gain[2])),
        (float(offset[0]), float(offset[1]), float(offset[2])),
        (int(channels[0]), int(channels[1]), int(channels[2])),
    )
