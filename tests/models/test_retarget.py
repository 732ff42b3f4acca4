"""Limbs that reach towards the viewer are drawn from the side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeanim.models.data.drawings.bvh import Capture, parse_bvh
from edgeanim.models.data.drawings.retarget import retarget
from tests.models.conftest import bvh_text


def posed(turns: dict[tuple[str, str], float]) -> Capture:
    """The person in a T-pose, facing +z, whose joints are turned about an axis for good."""
    capture = parse_bvh(bvh_text({}))
    columns = [(joint.name, channel) for joint in capture.joints for channel in joint.channels]
    values = capture.values.copy()
    for (joint, axis), degrees in turns.items():
        values[:, columns.index((joint, f"{axis}rotation"))] = degrees
    return replace(capture, values=values)


@pytest.mark.parametrize(("ahead_is_right", "angle"), [(True, 0.0), (False, np.pi)])
def test_who_sits_faces_the_side_that_was_asked_for(ahead_is_right: bool, angle: float) -> None:
    sitting = posed({("LeftUpLeg", "X"): -90, ("RightUpLeg", "X"): -90})
    motion = retarget(sitting, ahead_is_right=ahead_is_right)
    for bone in ("thigh left", "thigh right"):
        assert np.abs(motion.angles[bone]) == pytest.approx(np.full(9, angle), abs=1e-6)
    # What is seen from the front is not mirrored.
    assert motion.angles["upper arm left"] == pytest.approx(np.zeros(9), abs=1e-6)


def test_an_arm_held_out_is_before_the_body_and_one_on_the_back_behind_it() -> None:
    motion = retarget(posed({("LeftArm", "Y"): -60, ("RightArm", "Y"): -60}))
    assert motion.front == {"left": True, "right": False}
