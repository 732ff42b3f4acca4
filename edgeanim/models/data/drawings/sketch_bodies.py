"""The bodies of sketches: trunk, head, face and limbs, drawn about their joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.drawings.crayons import Sheet
from edgeanim.models.data.drawings.retarget import SIDES, SIGNS

Joints = dict[str, NDArray[np.float64]]


def draw_body(sheet: Sheet, joints: Joints, size: dict[str, float]) -> None:
    """Trunk, then head over it; a potato has both in one."""
    import cv2

    rng = sheet.rng
    (x, top), (_, bottom) = joints["torso"], joints["root"]
    wide, head = size["wide"] / 2, size["head"]
    trunk = sheet.empty()
    low = wide * size["hips"]
    form = rng.choice(["box", "oval", "dress", "potato"], p=[0.35, 0.25, 0.25, 0.15])
    if form == "oval":
        radii = (round(max(wide, low)), round((bottom - top) / 2 + 12))
        cv2.ellipse(trunk, (round(x), round((top + bottom) / 2)), radii, 0, 0, 360, 255, -1)
    elif form == "potato":
        head_top = joints["neck"][1] - head * size["tall"]
        radii = (round(max(wide, head)), round((bottom - head_top) / 2 + 8))
        cv2.ellipse(trunk, (round(x), round((bottom + head_top) / 2)), radii, 0, 0, 360, 255, -1)
    else:
        flare = 1.5 if form == "dress" else 1.0
        below = bottom + (24 if form == "dress" else 8)
        corners = [(x - wide, top - 10), (x + wide, top - 10), (x + low * flare, below)]
        corners.append((x - low * flare, below))
        cv2.fillPoly(trunk, [np.rint(np.array(corners)).astype(np.int32)], 255)
    if form != "potato":
        neck = joints["neck"]
        chin = neck[1] + head * size["tall"]
        sheet.line([(x, top), (neck[0], chin - 3)], max(sheet.style.width, int(head * 0.3)))
    sheet.shape(trunk, 0)
    if form != "potato":
        _draw_head(sheet, joints["neck"], head, head * size["tall"])
    _draw_face(sheet, joints["neck"], head)


def _draw_head(sheet: Sheet, at: NDArray[np.float64], wide: float, tall: float) -> None:
    import cv2

    rng, (x, y) = sheet.rng, at
    hair = rng.choice(["none", "spikes", "tails", "hat", "ears"])
    if hair == "tails":
        for sign in (-1, 1):
            steps = np.linspace(0, 1, 8)
            out = x + sign * wide * (0.8 + 0.6 * steps)
            down = y - tall * 0.5 + tall * rng.uniform(0.8, 1.6) * steps**2
            sheet.line(list(zip(out, down, strict=True)), int(rng.integers(4, 14)))
    if hair == "ears":
        for sign in (-1, 1):
            ear = sheet.empty()
            centre = (round(x + sign * wide * 0.75), round(y - tall * 0.75))
            cv2.circle(ear, centre, round(wide * 0.4), 255, -1)
            sheet.shape(ear, 2)
    skull = sheet.empty()
    if rng.uniform() < 0.85:
        cv2.ellipse(skull, (round(x), round(y)), (round(wide), round(tall)), 0, 0, 360, 255, -1)
    else:
        cv2.rectangle(
            skull, (round(x - wide), round(y - tall)), (round(x + wide), round(y + tall)), 255, -1
        )
    sheet.shape(skull, 1)
    if hair == "spikes":
        tips = np.linspace(-0.9, 0.9, int(rng.integers(9, 17)))
        heights = [0.75 if i % 2 else rng.uniform(1.1, 1.35) for i in range(len(tips))]
        sheet.line(
            [(x + t * wide, y - tall * h) for t, h in zip(tips, heights, strict=True)],
        )
    if hair == "hat":
        hat = sheet.empty()
        peak = (x + rng.normal(0, 8), y - tall * rng.uniform(1.3, 1.7))
        brim = [(x - wide * 0.9, y - tall * 0.7), (x + wide * 0.9, y - tall * 0.7), peak]
        cv2.fillPoly(hat, [np.rint(np.array(brim)).astype(np.int32)], 255)
        sheet.shape(hat, 3)


def _draw_face(sheet: Sheet, at: NDArray[np.float64], wide: float) -> None:
    import cv2

    rng, style, (x, y) = sheet.rng, sheet.style, at
    apart, eye = wide * rng.uniform(0.3, 0.5), max(2.0, wide * rng.uniform(0.07, 0.2))
    ring = rng.uniform() < 0.4
    for sign in (-1, 1):
        centre = (round(x + sign * apart), round(y - wide * 0.2))
        if ring:
            cv2.circle(sheet.picture, centre, round(eye * 1.6), (250, 250, 250), -1, cv2.LINE_AA)
            cv2.circle(sheet.picture, centre, round(eye * 1.6), style.pen, 2, cv2.LINE_AA)
        cv2.circle(sheet.picture, centre, round(eye * 0.8), style.pen, -1, cv2.LINE_AA)
    bow = int(rng.integers(30, 80))
    middle, radii = (round(x), round(y + wide * 0.15)), (round(wide * 0.4), round(wide * 0.35))
    cv2.ellipse(
        sheet.picture, middle, radii, 0, 90 - bow, 90 + bow, style.pen, style.width, cv2.LINE_AA
    )


def draw_limbs(sheet: Sheet, joints: Joints) -> None:
    """Arms and legs with hands and feet, as lines or as tubes."""
    import cv2

    rng, thick = sheet.rng, sheet.style.thick
    hand_form = rng.choice(["none", "ball", "fingers"])
    for side in SIDES:
        for names, colour, scale in (
            (("shoulder", "elbow", "hand"), 1, 1.0),
            (("hip", "knee", "foot"), 2, 1.2),
        ):
            path = [tuple(joints[f"{side}_{name}"]) for name in names]
            if thick:
                tube = sheet.empty()
                points = [np.rint(np.array(path)).astype(np.int32)]
                cv2.polylines(tube, points, False, 255, max(3, round(thick * scale)))
                sheet.shape(tube, colour)
            else:
                sheet.line(path)
        _draw_hand(sheet, joints[f"{side}_elbow"], joints[f"{side}_hand"], str(hand_form))
        if rng.uniform() < 0.8:
            x, y = joints[f"{side}_foot"]
            long = max(9.0, thick * 0.8) * rng.uniform(0.9, 1.5)
            foot = sheet.empty()
            centre = (round(x + SIGNS[side] * long * 0.5), round(y))
            cv2.ellipse(foot, centre, (round(long), round(long * 0.6)), 0, 0, 360, 255, -1)
            sheet.shape(foot, 3)


def _draw_hand(
    sheet: Sheet, elbow: NDArray[np.float64], hand: NDArray[np.float64], form: str
) -> None:
    import cv2

    rng = sheet.rng
    size = max(8.0, sheet.style.thick * 0.7) * rng.uniform(0.9, 1.4)
    if form == "ball":
        palm = sheet.empty()
        cv2.circle(palm, (round(hand[0]), round(hand[1])), round(size), 255, -1)
        sheet.shape(palm, 1)
    if form == "fingers":
        x, y = hand - elbow
        for spread in np.linspace(-0.9, 0.9, int(rng.integers(3, 6))):
            angle = np.arctan2(y, x) + spread
            tip = hand + 1.8 * size * np.array([np.cos(angle), np.sin(angle)])
            sheet.line([tuple(hand), tuple(tip)])
