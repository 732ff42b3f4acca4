"""Procedural drawings: characters as people draw them on paper, with mask and joints, by seed.

Bodies of ellipses, boxes, dresses and potatoes with sticks, tubes or sausages for limbs; pens,
crayons and flat cartoon colours; the whole drawn with an unsteady hand. They are rigged and moved
as real drawings are (`drawn.sketch_sequence`), so a model sees more than the few there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.drawings.crayons import (
    HEIGHT,
    WIDTH,
    Colour,
    Sheet,
    Style,
    blank_paper,
    unsteady,
)
from edgeanim.models.data.drawings.drawing import Drawing
from edgeanim.models.data.drawings.retarget import SIGNS
from edgeanim.models.data.drawings.sketch_bodies import Joints, draw_body, draw_limbs
from edgeanim.models.data.textures import random_colour


def make_sketch(seed: int) -> Drawing:
    """The drawing of this seed; the same one every time."""
    rng = np.random.default_rng([seed, 31])
    style = _style(rng)
    joints, size = _skeleton(rng)
    sheet = Sheet(blank_paper(rng), style, rng)
    limbs_first = rng.uniform() < 0.5
    if limbs_first:
        draw_limbs(sheet, joints)
    draw_body(sheet, joints, size)
    if not limbs_first:
        draw_limbs(sheet, joints)
    return Drawing(f"sketch {seed}", *unsteady(rng, sheet), joints)


def _style(rng: np.random.Generator) -> Style:
    pen = random_colour(rng, 0, 90) if rng.uniform() < 0.75 else random_colour(rng, 0, 220)
    return Style(
        _rgb(pen),
        int(rng.integers(2, 8)),
        str(rng.choice(["none", "flat", "scribble"], p=[0.35, 0.4, 0.25])),
        0.0 if rng.uniform() < 0.25 else float(rng.uniform(12, 44)),
        tuple(_rgb(random_colour(rng, 40, 255)) for _ in range(4)),
    )


def _skeleton(rng: np.random.Generator) -> tuple[Joints, dict[str, float]]:
    """Joints [x, y] of someone who stands, arms out, and the sizes of head and trunk."""
    size = {
        "head": rng.uniform(32, 72),
        "tall": rng.uniform(0.85, 1.3),
        "trunk": rng.uniform(70, 150),
        "wide": rng.uniform(44, 150),
        "hips": rng.uniform(0.6, 1.5),
    }
    middle = WIDTH / 2 + rng.uniform(-15, 15)
    shoulders = 2 * size["head"] * size["tall"] + rng.uniform(20, 45)
    hips = shoulders + size["trunk"]
    joints = {
        "root": (middle, hips),
        "torso": (middle, shoulders + 0.08 * size["trunk"]),
        "neck": (middle, shoulders - size["head"] * size["tall"] - rng.uniform(0, 14)),
    }
    arm, leg = rng.uniform(60, 120), min(rng.uniform(50, 150), HEIGHT - hips - 30)
    for side, sign in SIGNS.items():
        shoulder = (middle + sign * size["wide"] * 0.45, shoulders + rng.uniform(4, 16))
        hip = (middle + sign * size["wide"] * size["hips"] * 0.28, hips - 4)
        # Arms that lie on the body in the drawing could not leave it: they are drawn away from it.
        arm_angle, elbow_bend = rng.uniform(-0.7, 0.8), rng.normal(0, 0.2)
        stance, knee_bend = rng.uniform(0, 0.3), rng.normal(0, 0.12)
        elbow = _beyond(shoulder, sign, arm_angle, arm * 0.5)
        leg_angle = np.pi / 2 - stance
        knee = _beyond(hip, sign, leg_angle, leg * 0.5)
        joints |= {
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": elbow,
            f"{side}_hand": _beyond(elbow, sign, arm_angle + elbow_bend, arm * 0.5),
            f"{side}_hip": hip,
            f"{side}_knee": knee,
            f"{side}_foot": _beyond(knee, sign, leg_angle + knee_bend, leg * 0.5),
        }
    limits = np.array([WIDTH - 6, HEIGHT - 6])
    return {name: np.clip(np.array(xy), 5, limits) for name, xy in joints.items()}, size


def _beyond(
    start: tuple[float, float], sign: float, angle: float, length: float
) -> tuple[float, float]:
    """The end of a limb at `angle` below the horizontal, outwards."""
    return start[0] + sign * length * np.cos(angle), start[1] + length * np.sin(angle)


def _rgb(colour: NDArray[np.float32]) -> Colour:
    red, green, blue = (float(value) for value in colour)
    return red, green, blue
