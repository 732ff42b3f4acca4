"""People in the round are the same by seed, and what is known of them (masks, flow) is true."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.people.acting import ArmPose, Expression, LegPose, Posture
from edgeanim.models.data.people.bodies import posed
from edgeanim.models.data.people.faces import FEATURES, painted
from edgeanim.models.data.people.heads import RINGS, SEGMENTS, feature_transforms
from edgeanim.models.data.people.person import (
    make_person,
    person_at_moments,
    person_sequence,
    render,
)
from edgeanim.models.data.people.surfaces import ATLAS, Chart
from edgeanim.models.data.puppets.puppet import NO_PART, SIZE
from edgeanim.models.data.sequences import paired_sequence
from edgeanim.models.regions import BACKGROUND, REGIONS

AT_REST = Expression(mouth=0.0, blink=0.0, gaze=(0.0, 0.0), smile=0.0)
STILL_LEG = LegPose(aside=0.0, forward=0.0)


def person_with(wanted):
    return next(person for person in map(make_person, range(200)) if wanted(person))


def posture(person, *, yaw=0.0, targets=None, expression=AT_REST):
    """Upright, arms hanging or reaching for `targets`."""
    build = person.body.build
    low = build.upper_arm + build.forearm
    hanging = [np.array([sign * build.shoulder, low, 0.0]) for sign in (-1, 1)]
    arms = [
        ArmPose(target, np.array([sign * 0.5, 1.0, -0.5]), 0.0, 0.0, (0.0,) * 5, 0.1)
        for target, sign in zip(targets or hanging, (-1, 1), strict=True)
    ]
    head = (yaw, 0.0, 0.0)
    return Posture(head, (0.0, 0.0, 0.0), np.zeros(3), expression, tuple(arms), (STILL_LEG,) * 2)


def surface(person, name):
    return [each.name for each in person.body.surfaces].index(name)


def features_seen(person, posture):
    seen = person.around.camera.seen(posed(person.body, posture)[surface(person, "head")])
    return feature_transforms(person.body.face, posture.expression, seen)


@pytest.mark.parametrize("seed", [0, 4])
def test_a_seed_always_gives_the_same_person(seed):
    one, two = person_at_moments(seed, 1), person_at_moments(seed, 1)
    assert np.array_equal(one.pictures, two.pictures)
    assert np.array_equal(one.parts.shown, two.parts.shown)
    assert np.array_equal(one.parts.transforms, two.parts.transforms)
    assert not np.array_equal(one.pictures, person_at_moments(seed + 1, 1).pictures)


@given(seed=st.integers(0, 10_000), times=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=8, deadline=None)
def test_flow_and_masks_are_exact_enough_to_paint_one_frame_with_another(seed, times):
    plain = make_person(seed)
    sequence = person_sequence(seed, times)
    pair = make_pair(sequence, 0, 3, SIZE)
    side = pair.flow.shape[1]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    still, driving = (
        cv2.resize(each.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_AREA)
        for each in (pair.still, pair.driving)
    )
    half = np.float32(side / 2)
    moved = cv2.remap(still, x + pair.flow[0] * half, y + pair.flow[1] * half, cv2.INTER_LINEAR)
    body = (pair.visible[0] > 0) & (pair.label_driving != BACKGROUND)
    inner = cv2.erode(body.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    before, after = (np.abs(each - driving)[inner].mean() for each in (still, moved))
    # What is left is light, which falls on the body where it is, and grain.
    assert after < 0.75 * before or after < 0.04
    assert len(plain.regions) == sequence.parts.transforms.shape[1] < NO_PART
    assert (np.linalg.det(sequence.parts.transforms[:, :, :, :2]) != 0).all()
    shown = np.unique(sequence.parts.shown)
    assert shown[shown != NO_PART].max() < len(plain.regions)


def test_left_and_right_are_those_of_the_picture():
    person = person_with(lambda person: person.body.legs)
    hanging = replace(person, posture=lambda _: posture(person))
    vertices = posed(hanging.body, hanging.posture(0))
    for limb in ("arm", "leg", "palm"):
        left, right = (vertices[surface(person, f"{limb} {side}")] for side in ("left", "right"))
        assert left[..., 0].mean() < -0.2 < 0.2 < right[..., 0].mean()
    for name, region in (("arm left", "upper arm, left"), ("leg right", "leg, right")):
        assert person.body.surfaces[surface(person, name)].regions[0] == region


@pytest.mark.parametrize("yaw", [-0.8, 0.8])
def test_a_head_turns_its_features_further_than_itself(yaw):
    person = make_person(3)
    ahead, aside = posture(person), posture(person, yaw=yaw)
    moved = [
        now[1][0] - before[1][0]
        for now, before in zip(
            features_seen(person, aside), features_seen(person, ahead), strict=True
        )
    ]
    heads = [
        posed(person.body, each)[surface(person, "head")][..., 0].mean() for each in (ahead, aside)
    ]
    turned = np.array(moved) * np.sign(yaw) / person.around.camera.zoom
    assert (turned > 0.08).all()
    assert (turned > abs(heads[1] - heads[0]) + 0.05).all()


def test_eyes_shut_and_mouths_open_where_their_masks_say_so():
    person = make_person(3)
    changed = replace(AT_REST, mouth=1.0, blink=1.0)
    rest, now = (painted(person.body.face, each)[1] for each in (AT_REST, changed))
    counts = [[(labels == 1 + k).sum() for k in range(len(FEATURES))] for labels in (rest, now)]
    assert counts[1][0] < 0.6 * counts[0][0]
    assert counts[1][1] < 0.6 * counts[0][1]
    assert counts[1][2] > 1.5 * counts[0][2]
    heights = [
        [
            np.linalg.norm(axes[:, 1])
            for axes, _ in features_seen(person, posture(person, expression=e))
        ]
        for e in (AT_REST, changed)
    ]
    assert heights[1][0] < 0.2 * heights[0][0]
    assert heights[1][2] > 2 * heights[0][2]


@given(
    x=st.floats(-1.0, 1.0), y=st.floats(-1.0, 1.5), z=st.floats(0.5, 1.2), seed=st.integers(0, 200)
)
@settings(max_examples=25, deadline=None)
def test_hands_go_where_they_reach_for(x, y, z, seed):
    person = make_person(seed)
    build = person.body.build
    target = np.array([x, y, z])
    acted = posture(person, targets=[target, target])
    vertices = posed(person.body, acted)
    for side, sign in (("left", -1), ("right", 1)):
        arm = vertices[surface(person, f"arm {side}")]
        wrist, shoulder = arm[-1, :-1].mean(0), np.array([sign * (build.shoulder - 0.08), 0.2, 0])
        far = np.linalg.norm(target - shoulder)
        within = build.upper_arm + build.forearm
        if abs(build.upper_arm - build.forearm) + 0.25 < far < within * 0.98:
            assert np.linalg.norm(wrist - target) < 0.02
        length = np.linalg.norm(np.diff(arm[:, :-1].mean(1), axis=0), axis=1).sum()
        assert 0.85 * within < length < 1.02 * within


def test_large_faces_have_eyes_and_a_mouth_of_their_own():
    close = person_with(lambda person: person.around.camera.zoom > 80)
    distant = person_with(lambda person: person.around.camera.zoom < 40)
    names = [{REGIONS[region] for region in person.regions} for person in (close, distant)]
    assert {"eyes", "mouth", "head", "torso"} <= names[0]
    assert not {"eyes", "mouth"} & names[1]
    assert {"leg, left", "leg, right"} <= names[1]


def test_photographs_clothe_and_surround_some_of_them():
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[..., 0] = 255
    dressed = [make_person(seed, (photo,)) for seed in range(40)]
    tops = [person.body.clothes.top for person in dressed]
    assert any((top[..., 0] > 250).all() and (top[..., 1:] < 5).all() for top in tops)
    assert not all((top[..., 0] > 250).all() for top in tops)


def acted(person, *postures):
    """The person in these postures, a frame each, in a clear picture."""
    person = replace(person, posture=lambda time: postures[int(time)])
    first = posed(person.body, postures[0])
    charts = [Chart(*each) for each in zip(person.body.surfaces, first, strict=True)]
    frames = [render(person, time, charts) for time in range(len(postures))]
    return paired_sequence("acted", frames, person.regions, person.sheets)


def test_what_a_turned_head_hid_is_not_said_to_be_visible():
    person = make_person(3)
    sequence = acted(person, *(posture(person, yaw=yaw) for yaw in (-1.0, 1.0, 0.96)))
    shown = sequence.parts.shown[1][::4, ::4]
    came = (shown != NO_PART) & ~np.isin(shown, sequence.parts.shown[0])
    assert came.sum() > 20
    assert make_pair(sequence, 0, 1, SIZE).visible[0][came].mean() < 0.1
    body = cv2.erode((shown != NO_PART).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert make_pair(sequence, 2, 1, SIZE).visible[0][body].mean() > 0.95


@pytest.mark.parametrize("blink", [0.5, 1.0])
def test_the_motion_of_a_blinking_eye_has_its_mask_s_middle(blink):
    person = person_with(lambda person: person.body.face.eyes.high > 0.08)
    grid = np.stack(np.meshgrid(np.arange(SEGMENTS + 1.0), np.arange(RINGS + 1.0)), axis=-1)
    masks, motions = [], []
    for expression in (AT_REST, replace(AT_REST, blink=blink)):
        rows, _ = np.nonzero(painted(person.body.face, expression)[1] == 1)
        masks.append(rows.mean() * np.pi / ATLAS)
        motions.append(feature_transforms(person.body.face, expression, grid)[0][1][1])
    fallen = (motions[1] - motions[0]) * np.pi / RINGS
    assert fallen == pytest.approx(masks[1] - masks[0], abs=0.5 * np.pi / ATLAS)
