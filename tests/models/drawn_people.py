"""People drawn so that the truth about their heads and hands is known."""

from __future__ import annotations

import cv2
import numpy as np

from edgeanim.models.regions import BACKGROUND

SIZE = 256
HEAD, TORSO, LEFT, RIGHT = 0, 1, 4, 5
SKINS = [(224, 172, 150), (198, 134, 108), (141, 85, 60), (92, 56, 40)]
JUMPERS = [(40, 60, 120), (30, 30, 30), (60, 120, 60), (200, 200, 210)]


def person(skin, jumper, hands, *, head=0):
    """A person with hands at two places: the picture, and the truth in the labels' terms."""
    picture = np.full((SIZE, SIZE, 3), (190, 200, 205), np.uint8)
    truth = np.full((SIZE, SIZE), BACKGROUND, np.uint8)

    cv2.rectangle(picture, (78, 100), (178, 255), jumper, -1)
    cv2.rectangle(truth, (78, 100), (178, 255), TORSO, -1)
    cv2.ellipse(picture, (128 + head, 62), (19, 26), 0, 0, 360, skin, -1)
    cv2.ellipse(truth, (128 + head, 62), (19, 26), 0, 0, 360, HEAD, -1)
    cv2.ellipse(picture, (128 + head, 42), (20, 10), 0, 0, 360, (35, 28, 25), -1)
    for place, label in zip(hands, (LEFT, RIGHT), strict=True):
        cv2.ellipse(picture, place, (12, 16), 20, 0, 360, skin, -1)
        cv2.ellipse(truth, place, (12, 16), 20, 0, 360, label, -1)
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), truth


def waving(skin, jumper, frames=16):
    """Both hands rise from the hips, cross the chest and go down again."""
    shown = []
    for t in range(frames):
        rise = np.sin(np.pi * t / (frames - 1))
        left = round(66 + 40 * rise), round(232 - 90 * rise)
        right = round(190 - 40 * rise), round(232 - 70 * rise)
        shown.append(person(skin, jumper, [left, right], head=round(2 * rise)))
    pictures, truth = zip(*shown, strict=True)
    return np.stack(pictures), np.stack(truth)
