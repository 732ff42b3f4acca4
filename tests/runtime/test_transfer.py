"""A driver's motion carried over to a still: by its displacements, and along a skeleton."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.skeleton import Retargeting, to_motion, to_planes
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.transfer import BodyMotion, OwnMotion, RelativeMotion, Transfer
from tests.runtime.jointed import (
    ANGLES,
    ARM,
    GONE,
    HAND,
    HEAD,
    JOINTS,
    LENGTHS,
    TORSO,
    body,
    motions,
)


def relative(still: np.ndarray, now: np.ndarray, first: np.ndarray) -> np.ndarray:
    return RelativeMotion(still, first)(now)


@settings(max_examples=40, deadline=None)
@given(still=motions(), first=motions())
def test_a_driver_that_repeats_its_first_frame_leaves_the_still_as_it_is(still, first):
    np.testing.assert_allclose(relative(still, first, first), still, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(first=motions(), now=motions())
def test_a_driver_carried_over_to_its_own_first_frame_gives_its_own_motion(first, now):
    np.testing.assert_allclose(relative(first, now, first), now, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(still=motions(), first=motions(), now=motions())
def test_the_still_turns_and_grows_as_much_as_the_driver_does(still, first, now):
    result = relative(still, now, first)

    def area(motion):
        return np.linalg.det(motion[:, 2:].reshape(-1, 2, 2).astype(np.float64))

    np.testing.assert_allclose(
        area(result) / area(still), area(now) / area(first), rtol=1e-3, atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(motions(), motions(), motions())
def test_relative_motion_is_the_papers_equation(still, first, now):
    def affines(motion):
        return motion[:, 2:].reshape(-1, 2, 2).astype(np.float64)

    result = relative(still, now, first)
    expected = affines(now) @ np.linalg.inv(affines(first)) @ affines(still)
    np.testing.assert_allclose(affines(result), expected, rtol=1e-5, atol=1e-5)
    centres = still[:, :2] + now[:, :2] - first[:, :2]
    np.testing.assert_allclose(result[:, :2], centres, atol=1e-5)


def test_a_region_that_was_a_line_at_first_moves_but_keeps_its_shape():
    still = np.array([[0.1, 0.2, 0.5, 0.0, 0.0, 0.5]], np.float32)
    line = np.array([[0.0, 0.0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    now = np.array([[0.3, 0.0, 0.2, 0.0, 0.0, 0.2]], np.float32)
    np.testing.assert_allclose(
        relative(still, now, line), [[0.4, 0.2, 0.5, 0.0, 0.0, 0.5]], atol=1e-6
    )


def test_a_small_region_turns_as_a_large_one_does():
    first = np.array([[0.0, 0.0, 0.01, 0.0, 0.0, 0.01]], np.float32)
    turned = np.array([[0.0, 0.0, 0.0, -0.01, 0.01, 0.0]], np.float32)
    still = np.array([[0.1, 0.2, 0.5, 0.0, 0.0, 0.5]], np.float32)
    np.testing.assert_allclose(
        relative(still, turned, first), [[0.1, 0.2, 0.0, -0.5, 0.5, 0.0]], atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(still=motions(), first=motions(), now=motions())
def test_a_body_keeps_still_with_its_driver_and_follows_itself_to_the_letter(still, first, now):
    np.testing.assert_allclose(BodyMotion(still, first, JOINTS)(first), still, atol=1e-4)
    np.testing.assert_allclose(BodyMotion(first, first, JOINTS)(now), now, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, LENGTHS, ANGLES, ANGLES, ANGLES)
def test_rigid_limbs_of_another_build_and_pose_turn_in_their_joints(
    own, others, own_pose, first, turned
):
    """Whatever the driver's build and first pose, the still's limbs turn by as much as its own."""
    still, began = body(own, own_pose), body(others, first, at=-0.2 + 0.1j)
    now = body(others, first + turned, at=-0.2 + 0.1j)
    expected = body(own, own_pose + turned)
    np.testing.assert_allclose(BodyMotion(still, began, JOINTS)(now), expected, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, LENGTHS, ANGLES, ANGLES, ANGLES)
def test_limbs_take_the_directions_of_the_drivers_and_keep_their_lengths(
    own, others, own_pose, first, turned
):
    still, began = body(own, own_pose), body(others, first)
    limbs = [ARM, HAND]
    turned[[TORSO, HEAD]] = 0  # only limbs take directions; what they hang on moves relatively
    now = body(others, first + turned)
    pose = own_pose.copy()
    pose[limbs] = (first + turned)[limbs]
    found = BodyMotion(still, began, JOINTS, posed=True)(now)
    np.testing.assert_allclose(found, body(own, pose), atol=2e-5)


@settings(max_examples=30, deadline=None)
@given(size=st.floats(0.5, 2), shift=st.floats(-0.3, 0.3))
def test_a_larger_body_goes_further(size, shift):
    small, large = (body(np.full(4, 0.3) * s, np.zeros(4)) for s in (1.0, size))
    large[:, 2:] = small[:, 2:] * size
    went = small.copy()
    went[:, 0] += shift
    moved = BodyMotion(large, small, JOINTS)(went)
    np.testing.assert_allclose(moved[:, 0] - large[:, 0], shift * size, atol=1e-5)


def test_what_the_driver_does_not_show_goes_along_with_what_it_hangs_on():
    still, first = body(np.full(4, 0.4), np.zeros(4)), body(np.full(4, 0.4), np.zeros(4))
    for motion in (first, now := body(np.full(4, 0.4), np.array([0.5, 0, 0, 0]))):
        motion[[ARM, HAND]] = GONE
    moved = BodyMotion(still, first, JOINTS)(now)
    turned = body(np.full(4, 0.4), np.array([0.5, 0.5, 0.5, 0]))
    np.testing.assert_allclose(moved, turned, atol=1e-5)
    first[:] = GONE
    np.testing.assert_allclose(BodyMotion(still, first, JOINTS)(now), still, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(LENGTHS, LENGTHS, ANGLES, ANGLES, st.floats(-3, 3), st.sampled_from("sdb"))
def test_what_hangs_on_something_absent_hangs_on_what_that_hangs_on(
    own, others, own_pose, first, turn, absent
):
    """The arm is in the still alone, in the driver alone or in neither; all else is rigid."""
    still, began = body(own, own_pose), body(others, first, at=-0.2 + 0.1j)
    now, expected = body(others, first + turn, at=-0.2 + 0.1j), body(own, own_pose + turn)
    if absent in "sb":
        still[ARM] = GONE
    if absent in "db":
        began[ARM] = now[ARM] = GONE
    moved = BodyMotion(still, began, JOINTS)(now)
    rest = [TORSO, HAND, HEAD]
    np.testing.assert_allclose(moved[rest], expected[rest], atol=2e-5)
    assert np.isfinite(moved).all()


def test_bodies_are_as_large_as_what_both_pictures_show_of_them():
    driver, still = body(np.full(4, 0.3), np.zeros(4)), body(np.full(4, 0.3), np.zeros(4))
    driver[[TORSO, ARM, HAND]] = GONE  # a face alone, at three times the size
    driver[HEAD, 2:] = 3 * still[HEAD, 2:]
    now = driver.copy()
    now[HEAD, 0] += 0.3
    moved = BodyMotion(still, driver, JOINTS)(now)
    np.testing.assert_allclose(moved[HEAD, 0] - still[HEAD, 0], 0.1, atol=1e-5)
    nothing = np.tile(np.array(GONE, np.float32), (4, 1))
    np.testing.assert_allclose(BodyMotion(still, nothing, JOINTS)(nothing), still, atol=1e-6)


def test_the_difference_of_two_bones_is_stretched_by_a_quarter_at_most():
    """An arm that points at the viewer at first is short then; the still's is as long as it is."""
    still = body(np.full(4, 0.6), np.zeros(4))
    first = body(np.array([0.6, 0.1, 0.6, 0.6]), np.zeros(4))
    now = body(np.full(4, 0.6), np.zeros(4))
    moved = BodyMotion(still, first, JOINTS)(now)
    # The hand's joint is the driver's, 0.5 further down, and the bones' difference a quarter more.
    assert moved[HAND, 1] - still[HAND, 1] == pytest.approx(0.5 + 0.25 * 0.5, abs=0.02)


def test_axes_that_say_nothing_are_not_gone_by():
    still, first = body(np.full(4, 0.4), np.zeros(4)), body(np.full(4, 0.3), np.zeros(4))
    for motion in (still, first):
        motion[TORSO, 2:] = 0.2  # a line
        assert np.isfinite(BodyMotion(still, first, JOINTS)(first)).all()
    first[:, 2:] = 0
    np.testing.assert_allclose(BodyMotion(still, first, JOINTS)(first), still, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(still=motions(), first=motions(), now=motions())
def test_tensors_are_carried_over_as_arrays_are(still, first, now):
    planes = [to_planes(torch.from_numpy(motion)) for motion in (still, first, now)]
    found = to_motion(Retargeting(JOINTS, *planes[:2])(planes[2]), torch.stack)
    np.testing.assert_allclose(found, BodyMotion(still, first, JOINTS)(now), atol=2e-3, rtol=1e-3)


def _raising(frames: int = 9) -> MotionTrack:
    """A track whose arm goes up by a half turn."""
    angles = np.linspace(0, np.pi, frames)
    poses = [body(np.full(4, 0.4), np.array([0, a, a, 0])) for a in angles]
    return MotionTrack(np.stack(poses), 10.0)


def test_a_stored_motion_is_carried_over_from_where_its_pose_is_nearest():
    track = _raising()
    still = body(np.full(4, 0.3), np.array([0, 1.6, 1.5, 0]))
    carrying = Transfer(still[None], "relative", JOINTS, track)
    assert carrying.reference == 4
    np.testing.assert_allclose(carrying(track.values[4:5])[0], still, atol=1e-5)
    # Two moments that are as near: the first of them.
    there_and_back = MotionTrack(np.concatenate([track.values, track.values[::-1]]), 10.0)
    assert Transfer(still[None], "relative", JOINTS, there_and_back).reference == 4
    assert Transfer(still[None], "pose", JOINTS, track).reference == 0
    # A limb that the driver lacks for a while is no pose that is near.
    hidden = MotionTrack(track.values.copy(), 10.0)
    hidden.values[4:, [ARM, HAND]] = GONE
    assert Transfer(still[None], "relative", JOINTS, hidden).reference == 3
    further = body(np.full(4, 0.3), np.array([0, 0.5, 0.5, 0]))
    assert Transfer(further[None], "relative", JOINTS, track).reference == 1
    # Of moments that are nearly as near the first, though a later one is the nearest.
    poses = [body(np.full(4, 0.4), np.array([0, a, a, 0])) for a in (0.0, 1.47, 1.55)]
    nearly = MotionTrack(np.stack(poses), 10.0)
    assert Transfer(still[None], "relative", JOINTS, nearly).reference == 1
    # A little nearer is not worth it, and a limb that is not there says nothing.
    near = body(np.full(4, 0.3), np.array([0, 0.25, 0.25, 0]))
    assert Transfer(near[None], "relative", JOINTS, track).reference == 0
    still[[ARM, HAND]] = [0, 0, -0.005, 0, 0, -0.005]  # where the track ends, were they there
    assert Transfer(still[None], "relative", JOINTS, track).reference == 0


@settings(max_examples=40, deadline=None)
@given(LENGTHS, LENGTHS, ANGLES, ANGLES, ANGLES, st.floats(-1, 1), st.floats(-1, 1))
def test_in_place_a_body_moves_as_if_its_driver_had_not_gone_away(
    own, others, own_pose, first, turned, right, down
):
    still, began, now = (
        body(*each) for each in ((own, own_pose), (others, first), (others, turned))
    )
    gone = now + np.float32([right, down, 0, 0, 0, 0])
    for rule in ("relative", "pose", "raw"):
        plain = Transfer(still[None], rule, JOINTS)
        held = Transfer(still[None], rule, JOINTS, in_place=True)
        stayed = [(plain(each[None]), held(each[None])) for each in (began, now)]
        for expected, found in (*stayed, (stayed[1][0], held(gone[None]))):
            np.testing.assert_allclose(found, expected, atol=1e-5)
    # A stored motion stays where it is in the frame from which it is carried over.
    track = MotionTrack(np.stack([began, gone]), 10.0)
    held = Transfer(still[None], "relative", JOINTS, track, in_place=True)
    for motion in track.motions():
        np.testing.assert_allclose(held(motion[None])[0, TORSO, :2], still[TORSO, :2], atol=1e-5)


def test_a_first_frame_in_memory_that_is_used_again_is_remembered_as_it_was():
    """A session gives every motion in the same memory."""
    still, first = body(np.full(4, 0.4), np.zeros(4)), body(np.full(4, 0.3), np.full(4, 0.5))
    still[HAND] = GONE
    gone = first + np.float32([0.5, 0.25, 0, 0, 0, 0])
    gone[HAND, 0] += 0.3
    for rule in ("relative", "pose", "raw"):
        apart, memory = (Transfer(still[None], rule, JOINTS, in_place=True) for _ in range(2))
        used = np.empty_like(first)[None]
        for motion in (first, gone):
            used[0] = motion
            np.testing.assert_array_equal(memory(used), apart(motion[None].copy()))
        assert memory.not_found == apart.not_found
        assert memory.body_way == apart.body_way > 0


def test_in_place_what_is_nearest_to_the_root_stays():
    still, first = body(np.full(4, 0.4), np.zeros(4)), body(np.full(4, 0.4), np.zeros(4))
    first[TORSO] = GONE
    held = Transfer(still[None], "relative", JOINTS, in_place=True)
    gone = first + np.float32([0.5, 0.25, 0, 0, 0, 0])
    gone[TORSO] = GONE
    for motion in (first, gone):
        np.testing.assert_allclose(held(motion[None])[0], still, atol=1e-5)
    # While it is hidden it is where it was last seen.
    hidden = gone.copy()
    hidden[ARM] = GONE
    found = held(hidden[None])[0]
    np.testing.assert_allclose(found[HEAD], still[HEAD], atol=1e-5)


def test_what_the_still_lacks_and_the_driver_moves_is_told():
    track = _raising()
    still = body(np.full(4, 0.3), np.zeros(4))
    still[[HAND, HEAD]] = GONE
    carrying = Transfer(still[None], "relative", JOINTS)
    carrying(track.values[:1])
    carrying(track.values[:1])
    assert carrying.not_found == set(), "nothing has moved"
    for motion in track.values:
        carrying(motion[None])
    # The hand stays straight along the arm, but goes a long way; the head rests.
    assert carrying.not_found == {HAND}
    whole = body(np.full(4, 0.3), np.zeros(4))
    for motion in (track.values, track.values[::-1]):
        carrying = Transfer(whole[None], "relative", JOINTS, MotionTrack(motion, 10.0))
        for moment in motion:
            carrying(moment[None])
        assert carrying.not_found == set()


@pytest.mark.parametrize(("turn", "told"), [(0.24, set()), (0.27, {HAND})])
def test_what_hardly_moves_by_itself_is_not_told(turn: float, told: set[int]):
    still = body(np.full(4, 0.3), np.zeros(4))
    still[HAND] = GONE
    planes = to_planes(body(np.full(4, 0.4), np.zeros(4)).astype(np.float64))
    planes[HAND, 1:] *= np.exp(1j * turn)
    carrying = Transfer(still[None], "relative", JOINTS)
    carrying(body(np.full(4, 0.4), np.zeros(4))[None])
    carrying(to_motion(list(planes), np.stack)[None].astype(np.float32))
    assert carrying.not_found == told


@settings(max_examples=40, deadline=None)
@given(LENGTHS, ANGLES, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_what_goes_along_with_its_parent_does_not_stir(lengths, angles, right, down):
    """The whole body goes elsewhere: only the torso, which hangs on nothing, does so by itself."""
    first = to_planes(body(lengths, angles).astype(np.float64))
    now = first.copy()
    now[:, 0] += right + 1j * down
    stirred = OwnMotion(JOINTS, range(4), first)(now)
    np.testing.assert_allclose(stirred[1:], 0, atol=1e-6)
    area = np.abs((first[TORSO, 1].conjugate() * first[TORSO, 2]).imag)
    assert stirred[TORSO] == pytest.approx(np.hypot(right, down) / np.sqrt(area), abs=1e-6)
    # A limb that turns stirs by as much as its axes do, and one that is not there does not.
    now[HAND] *= np.exp(0.5j)
    assert OwnMotion(JOINTS, [HAND], first)(now) >= abs(np.exp(0.5j) - 1) - 1e-6
    first[HAND] = to_planes(np.array(GONE))
    assert OwnMotion(JOINTS, [HAND], first)(now) == 0


def test_poses_are_not_asked_for_where_they_cannot_be_told():
    track = _raising()
    still, now = track.values[2:3], track.values[5:6]
    np.testing.assert_array_equal(Transfer(still, "raw", JOINTS, track)(now), now)
    np.testing.assert_array_equal(Transfer(still, "pose")(now), now)
    np.testing.assert_array_equal(Transfer(None, "relative", JOINTS)(now), now)
    np.testing.assert_allclose(Transfer(still, "pose", JOINTS)(now), now, atol=1e-5)
