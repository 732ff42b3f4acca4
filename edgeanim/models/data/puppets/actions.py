"""What puppets do: each action turns a time into a pose, smoothly and repeatably."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeanim.models.data.puppets.puppet import Kind, PartPose, Pose

ACTIONS: dict[Kind, tuple[str, ...]] = {
    "figure": ("wave", "walk", "gesture", "gesture", "sway"),
    "upper body": ("wave", "gesture", "gesture", "gesture", "nod"),
    "face": ("talk", "nod", "shake", "turn"),
}


@dataclass(frozen=True)
class Action:
    """A motion of period 1 in `time`: `pose(0)` equals `pose(1)`."""

    name: str
    pose: Callable[[float], Pose]


def make_action(seed: int, kind: Kind, name: str | None = None) -> Action:
    """The action of this seed for a kind of puppet; `name` chooses which (see `ACTIONS`)."""
    rng = np.random.default_rng([seed, 2])
    chosen = name or str(rng.choice(ACTIONS[kind]))
    rest = rest_pose(rng, kind)
    motion = _MOTIONS[chosen](rng)
    idle = idle_motion(rng, talking=chosen in ("talk", "gesture"))

    def pose(time: float) -> Pose:
        return add_poses(rest, motion(time), idle(time))

    return Action(chosen, pose)


Motion = Callable[[float], Pose]


def add_poses(*poses: Pose) -> Pose:
    """Angles and shifts added, stretches multiplied, part by part."""
    result: Pose = {}
    for pose in poses:
        for part, change in pose.items():
            result[part] = _add(result[part], change) if part in result else change
    return result


def _add(a: PartPose, b: PartPose) -> PartPose:
    return PartPose(
        a.angle + b.angle,
        (a.stretch[0] * b.stretch[0], a.stretch[1] * b.stretch[1]),
        (a.shift[0] + b.shift[0], a.shift[1] + b.shift[1]),
    )


def _wave_form(
    rng: np.random.Generator, amplitude: float, harmonics: int = 2
) -> Callable[[float], float]:
    """A smooth periodic function within about ±`amplitude`."""
    weights = rng.normal(0, 1, harmonics) / np.arange(1, harmonics + 1)
    weights *= amplitude / max(np.abs(weights).sum(), 1e-6)
    phases = rng.uniform(0, 2 * np.pi, harmonics)
    steps = np.arange(1, harmonics + 1)
    return lambda t: float((weights * np.sin(2 * np.pi * steps * t + phases)).sum())


def rest_pose(rng: np.random.Generator, kind: Kind) -> Pose:
    """How the arms and legs hang before anything moves. Positive angles turn clockwise."""
    if kind == "face":
        return {}
    spread, bend = rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.5)
    stance = rng.uniform(0.02, 0.2)
    return {
        "upper arm left": PartPose(spread),
        "upper arm right": PartPose(-spread),
        "forearm left": PartPose(-bend),
        "forearm right": PartPose(bend),
        "thigh left": PartPose(stance),
        "thigh right": PartPose(-stance),
    }


def idle_motion(rng: np.random.Generator, *, talking: bool) -> Motion:
    """Breathing, blinking and, if `talking`, a moving mouth."""
    blink_at, blink_for = rng.uniform(0, 1), rng.uniform(0.06, 0.2)
    breath = rng.uniform(0, 0.02)
    mouth = _wave_form(rng, 0.9, 3) if talking or rng.uniform() < 0.3 else (lambda _: 0.0)

    def pose(t: float) -> Pose:
        distance = min(abs(t % 1 - blink_at), 1 - abs(t % 1 - blink_at))
        lid = 1 - 0.88 * max(0.0, 1 - distance / blink_for)
        chest = 1 + breath * np.sin(2 * np.pi * t)
        return {
            "eye left": PartPose(stretch=(1, lid)),
            "eye right": PartPose(stretch=(1, lid)),
            "mouth": PartPose(stretch=(1 - 0.2 * abs(mouth(t)), 1 + 1.6 * abs(mouth(t)))),
            "torso": PartPose(stretch=(float(chest), 1)),
        }

    return pose


def _wave(rng: np.random.Generator) -> Motion:
    side, sign = ("left", 1) if rng.uniform() < 0.5 else ("right", -1)
    lift, swing = rng.uniform(1.4, 2.4), rng.uniform(0.3, 0.7)
    raised = rng.uniform() < 0.3
    lean = _wave_form(rng, 0.08)

    def pose(t: float) -> Pose:
        share = 1.0 if raised else 0.5 - 0.5 * np.cos(2 * np.pi * t)
        hand = 0.5 + swing * np.sin(6 * np.pi * t)
        return {
            f"upper arm {side}": PartPose(float(sign * lift * share)),
            f"forearm {side}": PartPose(float(sign * hand * share)),
            "head": PartPose(lean(t)),
        }

    return pose


def _gesture(rng: np.random.Generator) -> Motion:
    """Both arms through wide poses, often in front of the body, as signing hands are."""
    joints: dict[str, Callable[[float], float]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        active = rng.uniform() < 0.8
        out, fold = rng.uniform(-0.2, 1.0), -rng.uniform(0.5, 2.4)
        joints |= {
            f"upper arm {side}": _between(rng, sign * out if active else 0.0),
            f"forearm {side}": _between(rng, sign * fold if active else 0.0),
        }
    joints |= {"head": _wave_form(rng, 0.12), "torso": _wave_form(rng, 0.06)}
    return lambda t: {part: PartPose(curve(t)) for part, curve in joints.items()}


def _between(rng: np.random.Generator, target: float) -> Callable[[float], float]:
    """From rest to `target` and back, with a tremble on the way."""
    tremble = _wave_form(rng, 0.15 * abs(target), 3)
    start = rng.uniform(0, 1) if rng.uniform() < 0.3 else 0.0
    return lambda t: target * float(0.5 - 0.5 * np.cos(2 * np.pi * (t - start))) + tremble(t)


def _walk(rng: np.random.Generator) -> Motion:
    stride, knee, arms = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.7)
    travel, bounce = rng.uniform(-20, 20), rng.uniform(1, 5)

    def pose(t: float) -> Pose:
        swing = float(np.sin(2 * np.pi * t))
        return {
            "thigh left": PartPose(stride * swing),
            "thigh right": PartPose(-stride * swing),
            "shin left": PartPose(knee * max(0.0, -swing)),
            "shin right": PartPose(knee * max(0.0, swing)),
            "upper arm left": PartPose(-arms * swing),
            "upper arm right": PartPose(arms * swing),
            "torso": PartPose(shift=(travel * swing, bounce * abs(swing))),
        }

    return pose


def _sway(rng: np.random.Generator) -> Motion:
    names = ("torso", "head", "upper arm left", "upper arm right", "forearm left", "forearm right")
    curves = {name: _wave_form(rng, rng.uniform(0.05, 0.4)) for name in names}
    curves["torso"] = _wave_form(rng, 0.15)
    return lambda t: {name: PartPose(curve(t)) for name, curve in curves.items()}


def _nod(rng: np.random.Generator) -> Motion:
    tilt, drop = _wave_form(rng, rng.uniform(0.05, 0.3)), _wave_form(rng, rng.uniform(2, 8))

    def pose(t: float) -> Pose:
        down = drop(t)
        face = PartPose(shift=(0, down * 0.6))
        head = PartPose(tilt(t), (1, 1 - 0.006 * down), (0, down * 0.5))
        return {"head": head, "eye left": face, "eye right": face, "mouth": face}

    return pose


def _turn(rng: np.random.Generator, tilt: float = 0.1) -> Motion:
    """The head turns aside: features slide across it and it narrows a little."""
    angle, lean = _wave_form(rng, rng.uniform(0.3, 0.9)), _wave_form(rng, tilt)

    def pose(t: float) -> Pose:
        turn = angle(t)
        slide, narrow = 22 * float(np.sin(turn)), float(np.cos(turn * 0.8))
        face = PartPose(stretch=(narrow, 1), shift=(slide * 0.7, 0))
        head = PartPose(lean(t), (0.9 + 0.1 * narrow, 1), (slide * 0.25, 0))
        return {"head": head, "eye left": face, "eye right": face, "mouth": face}

    return pose


def _talk(rng: np.random.Generator) -> Motion:
    nod, turn = _nod(rng), _turn(rng, 0.05)

    def pose(t: float) -> Pose:
        return add_poses(nod(t), turn(t))

    return pose


_MOTIONS: dict[str, Callable[[np.random.Generator], Motion]] = {
    "wave": _wave,
    "walk": _walk,
    "gesture": _gesture,
    "sway": _sway,
    "nod": _nod,
    "shake": _turn,
    "turn": _turn,
    "talk": _talk,
}
