"""Wider motion for richer puppets: key poses that a body can take, with smooth ways between them,
and heads that turn to the side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.drawings.retarget import SIDES, SIGNS, BodyMotion
from edgeanim.models.data.puppets.actions import Action, Motion, add_poses, idle_motion, rest_pose
from edgeanim.models.data.puppets.anatomy import Part
from edgeanim.models.data.puppets.puppet import PartPose, Pose, Puppet
from edgeanim.models.data.puppets.wardrobe import head_size

_FEATURES = ("eye left", "eye right", "mouth", "nose")
_THINNEST = 0.08


def free_action(rng: np.random.Generator, puppet: Puppet, *, lively: float = 1.0) -> Action:
    """A motion of period 1 through random key poses; `lively` scales how far it goes (0: none but
    breathing and blinking)."""
    rest = rest_pose(rng, puppet.kind)
    motions = [idle_motion(rng, talking=bool(rng.uniform() < 0.6))]
    if lively > 0:
        motions.append(_between_poses(rng, puppet, lively))
    motions.append(turning_head(rng, puppet.parts, lively))

    def pose(time: float) -> Pose:
        return add_poses(rest, *(motion(time) for motion in motions))

    return Action("free", pose)


def free_motion(rng: np.random.Generator, frames: int = 72) -> BodyMotion:
    """The same for a drawing's bones: `frames` frames through random key poses and back."""
    count = int(rng.integers(3, 7))
    times = np.arange(frames) / frames

    def swing(low: float, high: float) -> NDArray[np.float64]:
        curve = periodic_curve(rng, rng.uniform(low, high, count))
        return np.array([curve(float(t)) for t in times])

    lean = -np.pi / 2 + swing(-0.3, 0.3)
    angles = {"torso": lean, "head": lean + swing(-0.35, 0.35)}
    for side in SIDES:
        upper, thigh = swing(-1.5, 1.5), np.pi / 2 - swing(-0.25, 0.7)
        limbs = {
            "upper arm": upper,
            "forearm": upper + swing(-2.0, 2.0),
            "thigh": thigh,
            "shin": thigh + swing(-0.2, 0.9),
        }
        for bone, angle in limbs.items():
            # Outwards is to our right for the body's left, which faces us.
            angles[f"{bone} {side}"] = angle if side == "left" else np.pi - angle
    root = np.stack([swing(-0.25, 0.25), swing(-0.15, 0.15)], axis=1)
    front = {side: bool(rng.uniform() < 0.8) for side in SIDES}
    return BodyMotion(angles, root, front)


def turning_head(rng: np.random.Generator, parts: tuple[Part, ...], lively: float = 1.0) -> Motion:
    """A head that looks about, its features on a sphere: they slide, narrow and go out of sight.

    Three in ten heads are turned to begin with, up to a profile.
    """
    radius, tall = head_size(parts)
    joints = {part.name: part.joint for part in parts if part.name in _FEATURES}
    middles = {name: np.arcsin(np.clip(x / radius, -0.95, 0.95)) for name, (x, _) in joints.items()}
    start = rng.uniform(-1.2, 1.2) if rng.uniform() < 0.3 else rng.normal(0, 0.15)
    swing = _curve(rng, lively * float(rng.choice([0.15, 0.5, 1.0])))
    nod = _curve(rng, lively * rng.uniform(0, 0.18))
    tilt = _curve(rng, lively * rng.uniform(0.05, 0.35))

    def pose(t: float) -> Pose:
        yaw, down = start + swing(t), tall * nod(t)
        pose = {"head": PartPose(tilt(t), (0.94 + 0.06 * float(np.cos(yaw)), 1.0))}
        for name, middle in middles.items():
            bulge = 1.15 if name == "nose" else 1.0
            slide = radius * (bulge * np.sin(middle + yaw) - np.sin(middle))
            narrow = max(_THINNEST, float(np.cos(middle + yaw) / np.cos(middle)))
            pose[name] = PartPose(0.0, (min(narrow, 1.1), 1.0), (float(slide), down))
        return pose

    return pose


def _between_poses(rng: np.random.Generator, puppet: Puppet, lively: float) -> Motion:
    """From three to five random poses and back to the first. One side may stay at rest."""
    count = int(rng.integers(3, 6))
    curves: dict[str, Callable[[float], float]] = {}
    for side, sign in SIGNS.items():
        if puppet.kind == "face" or rng.uniform() < 0.15:
            continue
        outward = rng.uniform(-0.3, 2.6, count)
        # Hands come to the chest and the face as often as they go out: signing, eating, pointing.
        fold = np.where(
            rng.uniform(size=count) < 0.6, -rng.uniform(0.6, 2.5, count), rng.normal(0, 0.5, count)
        )
        curves[f"upper arm {side}"] = periodic_curve(rng, lively * sign * outward)
        curves[f"forearm {side}"] = periodic_curve(rng, lively * sign * fold)
        curves[f"hand {side}"] = periodic_curve(rng, lively * rng.normal(0, 0.5, count))
    if puppet.kind == "figure" and rng.uniform() < 0.7:
        for side, sign in SIGNS.items():
            curves[f"thigh {side}"] = periodic_curve(
                rng, lively * sign * rng.uniform(-0.3, 0.9, count)
            )
            curves[f"shin {side}"] = periodic_curve(
                rng, -lively * sign * rng.uniform(-0.2, 1.2, count)
            )
    lean = periodic_curve(rng, lively * rng.normal(0, 0.12, count))
    x, y = (periodic_curve(rng, lively * rng.normal(0, reach, count)) for reach in (8, 5))

    def pose(t: float) -> Pose:
        pose = {name: PartPose(curve(t)) for name, curve in curves.items()}
        return pose | {"torso": PartPose(lean(t), shift=(x(t), y(t)))}

    return pose


def periodic_curve(
    rng: np.random.Generator, values: NDArray[np.float64]
) -> Callable[[float], float]:
    """A periodic curve through `values`, evenly spaced in time, resting a little at each."""
    count, start = len(values), rng.uniform(0, 1)

    def curve(t: float) -> float:
        place = ((t + start) % 1.0) * count
        index, share = int(place) % count, place - int(place)
        ease = share * share * (3 - 2 * share)
        return float(values[index] * (1 - ease) + values[(index + 1) % count] * ease)

    return curve


def _curve(rng: np.random.Generator, amplitude: float) -> Callable[[float], float]:
    return periodic_curve(rng, rng.uniform(-amplitude, amplitude, 4))
