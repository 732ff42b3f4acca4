"""The motions that ship, written out as poses of puppets: every one a loop over time 0..1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

from edgeanim.models.data.puppets.puppet import Kind, PartPose, Pose

REST: Pose = {
    "upper arm left": PartPose(0.3),
    "upper arm right": PartPose(-0.3),
    "forearm left": PartPose(-0.15),
    "forearm right": PartPose(0.15),
    "thigh left": PartPose(0.08),
    "thigh right": PartPose(-0.08),
}
"""Arms beside the body. Positive angles turn clockwise on the screen."""


@dataclass(frozen=True)
class Performance:
    """`change(t)` is what part poses become of `REST` at time t, on a puppet of `kind`."""

    kind: Kind
    change: Callable[[float], Pose]

    def pose(self, time: float) -> Pose:
        """The whole pose at a time: where a part is in no change, it rests."""
        rest = {} if self.kind == "face" else REST
        return {**rest, **self.change(time)}


def _swing(t: float, times: int = 1) -> float:
    return sin(2 * pi * times * t)


def _rise(t: float) -> float:
    """From 0 to 1 and back, smoothly."""
    return 0.5 - 0.5 * cos(2 * pi * t)


def _lids(openness: float) -> Pose:
    lid = PartPose(stretch=(1.0, openness))
    return {"eye left": lid, "eye right": lid}


def _face_moved(x: float, y: float, narrow: float = 1.0) -> Pose:
    moved = PartPose(stretch=(narrow, 1.0), shift=(x, y))
    return {"eye left": moved, "eye right": moved, "mouth": moved}


def _blink(t: float) -> Pose:
    closed = sum(max(0.0, 1 - abs(t - at) / 0.07) for at in (0.3, 0.7))
    return _lids(1 - 0.88 * closed)


def _talk(t: float) -> Pose:
    opening = abs(0.6 * sin(6 * pi * t) + 0.4 * sin(10 * pi * t))
    mouth = PartPose(stretch=(1 - 0.15 * opening, 1 + 1.5 * opening))
    return {"mouth": mouth, "head": PartPose(0.03 * _swing(t))}


def _nod(t: float) -> Pose:
    down = 7 * _rise(2 * t)
    return {**_face_moved(0, 0.7 * down), "head": PartPose(0, (1, 1 - 0.006 * down), (0, down / 2))}


def _shake(t: float) -> Pose:
    side = _swing(t, 2)
    return {
        **_face_moved(9 * side, 0, 1 - 0.1 * abs(side)),
        "head": PartPose(0, shift=(4 * side, 0)),
    }


def _wave(t: float) -> Pose:
    # In the first and last quarter the arm goes up and down; in between the hand waves.
    up = 0.5 - 0.5 * cos(pi * min(1.0, 4 * t, 4 * (1 - t)))
    hand = 0.35 * sin(8 * pi * t)
    return {
        "upper arm right": PartPose(-0.3 - 0.7 * up),
        "forearm right": PartPose(0.15 - up * (1.8 + hand)),
        "head": PartPose(0.06 * up),
    }


def _sway(t: float) -> Pose:
    lean = _swing(t)
    return {
        "torso": PartPose(0.1 * lean),
        "head": PartPose(0.08 * lean),
        "upper arm left": PartPose(0.3 + 0.2 * lean),
        "upper arm right": PartPose(-0.3 + 0.2 * lean),
    }


def _breathe(t: float) -> Pose:
    breath = _rise(t)
    return {
        "torso": PartPose(0, (1 + 0.04 * breath, 1 + 0.02 * breath), (0, -1.5 * breath)),
        "upper arm left": PartPose(0.3 + 0.06 * breath),
        "upper arm right": PartPose(-0.3 - 0.06 * breath),
    }


def _walk(t: float) -> Pose:
    step = _swing(t)
    return {
        "thigh left": PartPose(0.08 + 0.35 * step),
        "thigh right": PartPose(-0.08 - 0.35 * step),
        "shin left": PartPose(0.4 * max(0.0, -step)),
        "shin right": PartPose(0.4 * max(0.0, step)),
        "upper arm left": PartPose(0.3 - 0.3 * step),
        "upper arm right": PartPose(-0.3 - 0.3 * step),
        "torso": PartPose(shift=(0, -3 * abs(step))),
    }


PERFORMANCES: dict[str, Performance] = {
    "blink": Performance("face", _blink),
    "breathe": Performance("upper body", _breathe),
    "nod": Performance("face", _nod),
    "shake": Performance("face", _shake),
    "sway": Performance("upper body", _sway),
    "talk": Performance("face", _talk),
    "walk": Performance("figure", _walk),
    "wave": Performance("upper body", _wave),
}
