"""Rooms that people are seen in."""

from __future__ import annotations

import numpy as np

from edgeanim.models.data.people.looks import noise
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.textures import Picture, random_colour


def random_room(rng: np.random.Generator) -> Picture:
    """A plain wall in uneven light, with flat things on it, more or less out of focus."""
    import cv2

    tone = np.full(3, rng.uniform(90, 245)) + rng.normal(0, 12, 3)
    wall = np.tile(tone.astype(np.float32), (SIZE, SIZE, 1))
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(-60, SIZE, 2)
        wide, high = rng.uniform(20, 180, 2)
        strange = rng.uniform() < 0.6
        colour = random_colour(rng, 10, 230) if strange else tone * rng.uniform(0.6, 1.1)
        corners = np.array(
            [
                [x, y],
                [x + wide, y + rng.normal(0, 8)],
                [x + wide + rng.normal(0, 8), y + high],
                [x, y + high],
            ]
        )
        rgb = [float(value) for value in colour]
        cv2.fillConvexPoly(wall, np.rint(corners * 16).astype(np.int32), rgb, cv2.LINE_8, 4)
        if rng.uniform() < 0.5:
            frame = [float(value) for value in colour * 0.6]
            outline = np.rint(corners).astype(np.int32)
            cv2.polylines(wall, [outline], True, frame, int(rng.integers(1, 4)))
    light = 1 + 0.12 * noise(rng, 3, SIZE)
    wall = cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.5, 2.5)) * light[..., None]
    grain = rng.normal(0, rng.uniform(0, 3), wall.shape)
    return np.asarray(np.clip(wall + grain, 0, 255), np.uint8)
