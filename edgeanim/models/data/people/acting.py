"""What people do: curves of period 1 through random poses, of head, trunk, arms, hands and face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeanim.models.data.people.geometry import Floats
from edgeanim.models.data.people.looks import Build, Framing
from edgeanim.models.data.puppets.keyposes import periodic_curve

Curve = Callable[[float], float]
SIDES = (("left", -1), ("right", 1))
"""Left and right in the picture, and which way that is."""
FINGERS = 5
"""The thumb first."""


@dataclass(frozen=True)
class Expression:
    """Of a face: how far the mouth is open and the eyes are shut, 0..1; where they look (x, y),
    about -1..1; how much broader than at rest the mouth is, as a share."""

    mouth: float
    blink: float
    gaze: tuple[float, float]
    smile: float

    @property
    def open(self) -> float:
        """How far the eyes are open, 1 being all; never quite shut."""
        return 1 - 0.9 * self.blink

    @property
    def broad(self) -> float:
        """How broad the mouth is, 1 being at rest."""
        return 1 - 0.2 * self.mouth + 0.5 * self.smile


@dataclass(frozen=True)
class ArmPose:
    """`target` [3] is where the hand goes, from the base of the neck and along the trunk's axes;
    `elbow` [3] is the way that the elbow points. The hand turns by `roll` about the forearm and
    bends by `flex`, its fingers by `curl` each, all in radians; `spread` is how they fan out."""

    target: Floats
    elbow: Floats
    roll: float
    flex: float
    curl: tuple[float, ...]
    spread: float


@dataclass(frozen=True)
class LegPose:
    """How far a leg is set aside and forward, as slopes."""

    aside: float
    forward: float


@dataclass(frozen=True)
class Posture:
    """A whole body. `head` and `trunk` are yaw, pitch and roll in radians, the head's beside the
    trunk's; `place` [3] is where the base of the neck would be if the trunk were upright. Arms and
    legs are left, right."""

    head: tuple[float, float, float]
    trunk: tuple[float, float, float]
    place: Floats
    expression: Expression
    arms: tuple[ArmPose, ...]
    legs: tuple[LegPose, ...]


def random_acting(
    rng: np.random.Generator, build: Build, framing: Framing
) -> Callable[[float], Posture]:
    """What somebody does, by the time in periods. A bust turns its head more, the others move their
    arms more: as people sign, before the trunk and up to the face, or far aside."""
    draw = rng.uniform
    keys = int(rng.integers(3, 6))

    def curve(low: float, high: float) -> Curve:
        return periodic_curve(rng, draw(low, high, keys))

    turns = draw() < (0.6 if framing == "bust" else 0.25)
    turn = draw(0.4, 1.15) if turns else draw(0.05, 0.3)
    aside = draw(-0.5, 0.5) if draw() < 0.3 else 0.0
    head = curve(-turn + aside, turn + aside), curve(-0.25, 0.25), curve(-0.16, 0.16)
    yaw, lean, bow = curve(-0.25, 0.25), curve(-0.07, 0.07), curve(-0.08, 0.08)
    x, y = curve(-0.16, 0.16), curve(-0.05, 0.05)
    gaze = curve(-1, 1), curve(-0.5, 0.5)
    smile = curve(-0.2, 0.25)
    mouth, blink = _talking(rng), _blinking(rng)
    arms = _arms(rng, build, framing, keys)
    legs = [(curve(-0.12, 0.25), curve(-0.1, 0.15)) for _ in SIDES]

    def posture(time: float) -> Posture:
        return Posture(
            (head[0](time), head[1](time), head[2](time)),
            (yaw(time), bow(time), lean(time)),
            np.array([x(time), y(time), 0.0]),
            Expression(mouth(time), blink(time), (gaze[0](time), gaze[1](time)), smile(time)),
            tuple(arm(time) for arm in arms),
            tuple(LegPose(out(time), forward(time)) for out, forward in legs),
        )

    return posture


def _talking(rng: np.random.Generator) -> Curve:
    if rng.uniform() >= 0.7:
        return lambda _: 0.0
    pace, weight = np.round(rng.uniform(2, 5, 3)), rng.normal(0, 1, 3)
    phase = rng.uniform(0, 6.28, 3)
    return lambda time: float(
        np.clip(0.4 * (weight * np.sin(2 * np.pi * pace * time + phase)).sum(), 0, 1)
    )


def _blinking(rng: np.random.Generator) -> Curve:
    at, long = rng.uniform(), rng.uniform(0.05, 0.15)

    def blink(time: float) -> float:
        away = abs(time % 1 - at)
        return max(0.0, 1 - min(away, 1 - away) / long)

    return blink


def _arms(
    rng: np.random.Generator, build: Build, framing: Framing, keys: int
) -> list[Callable[[float], ArmPose]]:
    """Each arm by itself or, for a third of all people, both alike and mirrored."""
    alike = rng.uniform() < 0.35
    led: Floats | None = None
    arms = []
    for _, sign in SIDES:
        active = rng.uniform() < (0.45 if framing == "bust" else 0.8)
        targets = np.array([_target(rng, build, sign, active=active) for _ in range(keys)])
        if alike and led is not None:
            targets = led * np.array([-1, 1, 1]) + rng.normal(0, 0.08, (keys, 3))
        if active:
            led = targets
        arms.append(_arm(rng, targets, sign, keys))
    return arms


def _target(rng: np.random.Generator, build: Build, sign: int, *, active: bool) -> Floats:
    """Hanging, before the trunk or the face, or far aside."""
    draw = rng.uniform
    hanging = np.array(
        [
            sign * (build.shoulder + draw(0.05, 0.4)),
            build.upper_arm + build.forearm - draw(0.05, 0.35),
            draw(0, 0.4),
        ]
    )
    if not (active and draw() < 0.65):
        return hanging
    if draw() < 0.75:
        return np.array([sign * draw(-0.35, 1.1), draw(-1.0, 1.5), draw(0.55, 1.3)])
    return np.array([sign * (build.shoulder + draw(0.4, 1.6)), draw(-1.2, 1.6), draw(0, 0.8)])


def _arm(
    rng: np.random.Generator, targets: Floats, sign: int, keys: int
) -> Callable[[float], ArmPose]:
    """An arm whose hand goes by its `targets` [keys, 3], each coordinate in its own time."""
    draw = rng.uniform

    def curve(low: float, high: float) -> Curve:
        return periodic_curve(rng, draw(low, high, keys))

    target = [periodic_curve(rng, targets[:, axis]) for axis in range(3)]
    roll, flex = curve(-1.2, 1.2), curve(-0.5, 0.5)
    curl = [curve(0, draw(0.3, 1.6)) for _ in range(FINGERS)]
    elbow = np.array([sign * draw(0.3, 1.0), draw(0.6, 1.2), draw(-0.9, 0.1)])
    spread = curve(0.02, 0.22)

    def pose(time: float) -> ArmPose:
        return ArmPose(
            np.array([axis(time) for axis in target]),
            elbow,
            roll(time),
            flex(time),
            tuple(finger(time) for finger in curl),
            spread(time),
        )

    return pose
