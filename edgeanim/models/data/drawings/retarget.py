"""From a captured skeleton in space to the angles of a drawing's limbs on paper.

The body is seen in its own axes (across, up, ahead) of each frame, so that turning about does not
fold it. Each limb is then projected from the front or from the side, whichever shows more of it: a
walk's legs from the side, a wave's arm from the front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.models.data.drawings.bvh import Capture

FPS = 24.0
"""Rate of the retargeted motion, frames per second."""
SIDES = ("left", "right")
SIGNS = {"left": 1.0, "right": -1.0}
"""Outwards in the picture: a character that faces us has its left on our right."""
_NAMES: dict[str, tuple[str, ...]] = {
    "hips": ("hips", "hip", "pelvis", "root"),
    "neck": ("neck", "neck1"),
    "head": ("head",),
}
_SIDED: dict[str, tuple[str, ...]] = {
    "upper arm": ("arm", "upperarm", "uparm", "shldr", "shoulder"),
    "forearm": ("forearm", "lowerarm", "lowarm", "elbow"),
    "hand": ("hand", "wrist"),
    "thigh": ("upleg", "upperleg", "thigh", "hip"),
    "shin": ("leg", "lowerleg", "lowleg", "shin", "calf", "knee"),
    "foot": ("foot", "ankle"),
}
_BONES: dict[str, tuple[str, str]] = {
    "torso": ("hips", "neck"),
    "head": ("neck", "head"),
    **{
        f"{bone} {side}": (f"{bone} {side}", f"{end} {side}")
        for side in SIDES
        for bone, end in (
            ("upper arm", "forearm"),
            ("forearm", "hand"),
            ("thigh", "shin"),
            ("shin", "foot"),
        )
    },
}
_GROUPS: tuple[tuple[str, ...], ...] = (
    ("torso", "head"),
    ("upper arm left", "forearm left"),
    ("upper arm right", "forearm right"),
    ("thigh left", "thigh right", "shin left", "shin right"),
)
_SIDE_VIEW = 1.5
"""A limb is seen from the side if it reaches so much more (mean square) ahead than across."""
_SMOOTHING = 1.2
_Array = NDArray[np.float64]


@dataclass(frozen=True)
class BodyMotion:
    """`angles`: for each bone its direction on paper [T], radians, x to the right, y down; sides
    are the body's own, which faces the viewer. `root` [T, 2]: how far the hips are from their usual
    place, in leg lengths. `front`: which arms are before the body."""

    angles: dict[str, _Array]
    root: _Array
    front: dict[str, bool]

    def __len__(self) -> int:
        return len(self.root)

    def at(self, frames: NDArray[np.int64]) -> BodyMotion:
        """Only these frames."""
        angles = {bone: values[frames] for bone, values in self.angles.items()}
        return BodyMotion(angles, self.root[frames], self.front)


def retarget(capture: Capture, *, ahead_is_right: bool = True) -> BodyMotion:
    """Project a captured body onto paper at about `FPS` frames a second.

    Limbs seen from the side face right or left. `BadInput` names joints that cannot be found.
    """
    every = max(1, round(1 / (FPS * capture.frame_time)))
    places = capture.positions(every)
    joint = {role: places[:, index] for role, index in _find_joints(capture).items()}
    across, up, ahead = _body_axes(joint)
    sign = 1.0 if ahead_is_right else -1.0
    angles: dict[str, _Array] = {}
    for group in _GROUPS:
        bones = np.stack([_unit(joint[_BONES[b][1]] - joint[_BONES[b][0]]) for b in group])
        sideways, depth = ((bones * axis).sum(-1) for axis in (across, ahead))
        if (depth**2).mean() > _SIDE_VIEW * (sideways**2).mean():
            sideways = sign * depth
        height = bones @ up
        for bone, x, y in zip(group, sideways, -height, strict=True):
            angles[bone] = _steady_angle(x, y)
    return BodyMotion(angles, _root_path(joint, across, up), _arms_in_front(joint, ahead))


def _find_joints(capture: Capture) -> dict[str, int]:
    """The index of each role's joint, by the names that capture studios use."""
    known = {
        re.sub(r"[^a-z0-9]", "", joint.name.rpartition(":")[2].lower()): index
        for index, joint in reversed(list(enumerate(capture.joints)))
        if joint.channels
    }
    wanted = dict(_NAMES)
    for role, names in _SIDED.items():
        for side in SIDES:
            wanted[f"{role} {side}"] = tuple(
                form
                for name in names
                for mark in (side, side[0])
                for form in (f"{mark}{name}", f"{name}{mark}")
            )
    found = {
        role: next((known[name] for name in names if name in known), None)
        for role, names in wanted.items()
    }
    missing = [role for role, index in found.items() if index is None]
    if missing:
        raise BadInput(
            f"The motion's skeleton has no joint for: {', '.join(missing)}.",
            hint=f"Its joints are called {', '.join(list(known)[:30])}.",
        )
    return {role: index for role, index in found.items() if index is not None}


def _body_axes(joint: dict[str, _Array]) -> tuple[_Array, _Array, _Array]:
    """Unit vectors: from the body's right to its left [T, 3], up [3], and ahead [T, 3].

    Files have y or z up; the way from the feet to the head, in the mean, tells which.
    """
    feet = (joint["foot left"] + joint["foot right"]) / 2
    rise = (joint["head"] - feet).mean(0)
    up = np.zeros(3)
    up[np.abs(rise).argmax()] = np.sign(rise[np.abs(rise).argmax()]) or 1.0
    pairs = ("thigh", "upper arm")
    across = sum((joint[f"{name} left"] - joint[f"{name} right"] for name in pairs), np.zeros(3))
    across = _unit(_smooth(across - (across @ up)[:, None] * up, 3.0))
    return across, up, np.cross(across, up)


def _root_path(joint: dict[str, _Array], across: _Array, up: _Array) -> _Array:
    """Where the hips are, relative to their median, in leg lengths; y down."""
    leg = sum(
        float(np.linalg.norm(joint[f"{b} left"] - joint[f"{a} left"], axis=1).mean())
        for a, b in (("thigh", "shin"), ("shin", "foot"))
    )
    hips = joint["hips"] - np.median(joint["hips"], axis=0)
    path: _Array = np.stack([hips @ across.mean(0), -hips @ up], axis=1)
    return path / max(leg, 1e-6)


def _arms_in_front(joint: dict[str, _Array], ahead: _Array) -> dict[str, bool]:
    middle = joint["neck"]
    return {
        side: bool(((joint[f"hand {side}"] - middle) * ahead).sum(-1).mean() > 0) for side in SIDES
    }


def _steady_angle(x: _Array, y: _Array) -> _Array:
    """The direction of (x, y) in time. Where the limb points at the viewer it has none to speak of;
    smoothing the vectors, not the angles, lets the clear frames around decide there."""
    smooth = _smooth(np.stack([x, y], axis=1), _SMOOTHING)
    angle: _Array = np.arctan2(smooth[:, 1], smooth[:, 0])
    return angle


def _smooth(values: _Array, sigma: float) -> _Array:
    """Gaussian smoothing over time [T, n]; ends are repeated."""
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    columns = [np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T]
    return np.stack(columns, axis=1)


def _unit(vectors: _Array) -> _Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: _Array = vectors / np.maximum(length, 1e-9)
    return result
