"""A motion made stronger or weaker than it is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.skeleton import to_planes
from edgeanim.runtime.strength import Strength
from tests.runtime.jointed import (
    ANGLES,
    ARM,
    END,
    GONE,
    HAND,
    JOINTS,
    LENGTHS,
    TORSO,
    body,
    motions,
)

_shares = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0])


@settings(max_examples=60, deadline=None)
@given(LENGTHS, ANGLES, hnp.arrays(np.float64, 4, elements=st.floats(-1.5, 1.5)), _shares)
def test_a_stronger_motion_turns_limbs_further_in_their_joints(lengths, pose, turned, share):
    still, moved = body(lengths, pose), body(lengths, pose + turned, at=0.3 + 0.1j)
    at = (0.1 + 0.2j) + share * (0.2 - 0.1j)
    expected = body(lengths, pose + share * turned, at=at)
    found = Strength(still[None], JOINTS, share)(moved[None])[0]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(still=motions(), now=motions(), gone=st.sets(st.integers(0, 3)))
def test_a_motion_as_strong_as_it_is_stays_what_it_is(still, now, gone):
    still[list(gone)] = GONE
    for plain in (now, still):
        found = Strength(still[None], JOINTS, 1.0)(plain[None])[0]
        np.testing.assert_allclose(found, plain, atol=1e-4)
    weak = Strength(still[None], JOINTS, 1e-6)(now[None])[0]
    kept = [k for k in range(4) if k not in gone]
    np.testing.assert_allclose(weak[kept], still[kept], atol=1e-3)


def test_a_stronger_motion_of_nothing_is_a_number():
    still, now = body(np.full(4, 0.4), np.zeros(4)), body(np.full(4, 0.4), np.ones(4))
    now[TORSO, 2:] = 0
    now[HAND, 4:] = 0
    found = Strength(still[None], JOINTS, 2.0)(now[None])
    assert np.isfinite(found).all()
    # On a torso without axes nothing can slide: the arm's joint stays where the still has it.
    own, made = (to_planes(motion.astype(np.float64)) for motion in (still, found[0]))
    joints = [planes[ARM, 0] - END * planes[ARM, 2] for planes in (own, made)]
    np.testing.assert_allclose(joints[1], joints[0], atol=1e-6)
