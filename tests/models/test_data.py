"""Puppets are the same by seed, and what is said to be known of them is true of their pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.models.data.augmentation import (
    Augmentation,
    random_augmentation,
    similarity,
)
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets.actions import ACTIONS, make_action
from edgeanim.models.data.puppets.puppet import KINDS, NO_PART, SIZE, make_puppet, render
from edgeanim.models.data.sequences import (
    FrameSequence,
    clip_sequences,
    pictures_alone,
    puppet_sequence,
    spread_moments,
)
from edgeanim.models.evaluation.clips import clip_frames
from edgeanim.models.nets.moments import motion_of
from edgeanim.models.regions import BACKGROUND, COUNT, MIRRORED, REGIONS, UNKNOWN
from edgeanim.runtime.media import write_animation

TIMES = (0.0, 0.2, 0.45)


def mirror_motion(motion: np.ndarray) -> np.ndarray:
    """Motion [..., K, 6] of the mirrored picture: x and the shear change sign, sides swap."""
    signs = np.array([-1, 1, 1, -1, -1, 1], np.float32)
    return motion[..., list(MIRRORED), :] * signs


@pytest.fixture(scope="module", params=KINDS)
def puppet(request):
    seed = next(s for s in range(100) if make_puppet(s).kind == request.param)
    return puppet_sequence(seed, TIMES)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_seed_always_gives_the_same_sequence(seed):
    one, two = puppet_sequence(seed, TIMES), puppet_sequence(seed, TIMES)
    assert np.array_equal(one.pictures, two.pictures)
    assert np.array_equal(one.parts.shown, two.parts.shown)
    assert not np.array_equal(one.pictures, puppet_sequence(seed + 1, TIMES).pictures)


def test_every_action_moves_and_is_periodic():
    for kind, names in ACTIONS.items():
        for name in names:
            pose = make_action(5, kind, name).pose
            assert pose(0.0) != pose(0.3)
            for part, value in pose(1.0).items():
                assert value.angle == pytest.approx(pose(0.0)[part].angle, abs=1e-6)


def test_frames_are_whole_and_masks_name_only_parts_of_the_puppet(puppet):
    assert puppet.pictures.shape == (6, SIZE, SIZE, 3)
    assert puppet.pictures.dtype == np.uint8
    assert set(np.unique(puppet.parts.shown)) <= {*range(len(puppet.parts.regions)), NO_PART}
    assert (puppet.parts.regions < COUNT).all()
    assert 0.02 < (puppet.parts.shown != NO_PART).mean() < 0.9


def test_left_regions_of_a_resting_figure_lie_left_of_the_right_ones():
    seed = next(s for s in range(100) if make_puppet(s).kind == "figure")
    figure = make_puppet(seed)
    frame = render(figure, make_action(seed, "figure", "sway").pose(0.0))
    for left, right in ((i, MIRRORED[i]) for i in range(COUNT) if "left" in REGIONS[i]):
        columns = [
            np.nonzero(np.isin(frame.parts, np.nonzero(figure.regions == region)[0]))[1].mean()
            for region in (left, right)
        ]
        assert columns[0] < columns[1]


def sample(picture, flow):
    """`picture` [3, h, w] where `flow` [2, h', w'] (in half pictures) points."""
    side = picture.shape[1]
    flow = np.stack([cv2.resize(f, (side, side)) for f in flow])
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return cv2.remap(
        np.ascontiguousarray(picture.transpose(1, 2, 0)),
        x + flow[0] * side / 2,
        y + flow[1] * side / 2,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).transpose(2, 0, 1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_known_flow_brings_the_still_to_the_driving_frame(puppet, mirrored):
    augmentation = Augmentation(similarity(0.15, 1.1, (5.0, -3.0), mirrored=mirrored), mirrored)
    pair = make_pair(puppet, 1, 5, SIZE, augmentation)
    made = sample(pair.still, pair.flow)
    # Away from seams, where parts of different motion meet within one cell of the flow.
    seams = [cv2.morphologyEx(f, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) for f in pair.flow]
    inner = ((pair.visible[0] > 0) & (np.max(seams, axis=0) < 0.03)).astype(np.uint8)
    inner = cv2.resize(inner, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST) > 0
    assert inner.mean() > 0.2
    error, still_error = (np.abs(p - pair.driving).mean(0) for p in (made, pair.still))
    assert error[inner].mean() < 0.02
    moving = inner & (still_error > 0.1)
    assert moving.sum() > 100
    assert np.median(error[moving]) < 0.35 * np.median(still_error[moving])


@settings(max_examples=25, deadline=None)
@given(
    turn=st.floats(-0.5, 0.5), scale=st.floats(0.6, 1.4), frames=st.tuples(*[st.integers(0, 5)] * 2)
)
def test_a_backdrop_is_shown_by_the_still_wherever_it_is_backdrop_there(
    puppet, turn, scale, frames
):
    """Beyond the canvas as well, whose edges are repeated where a picture is turned."""
    pair = make_pair(puppet, *frames, SIZE, Augmentation(similarity(turn, scale)))
    both = (pair.label_still == BACKGROUND) & (pair.label_driving == BACKGROUND)
    np.testing.assert_allclose(pair.flow[:, both], 0, atol=1e-12)
    assert (pair.visible[0][both] == 1).mean() > 0.995


def test_augmenting_by_a_mirror_gives_the_mirrored_pair_with_sides_exchanged(puppet):
    plain = make_pair(puppet, 1, 5, SIZE)
    mirror = make_pair(puppet, 1, 5, SIZE, Augmentation(similarity(mirrored=True), True))
    np.testing.assert_allclose(mirror.driving, plain.driving[:, :, ::-1], atol=1e-6)
    pointing = plain.direction_driving[:, :, ::-1] * np.array([-1, 1], np.float32)[:, None, None]
    assert np.isclose(mirror.direction_driving, pointing, atol=1e-5).all(0).mean() > 0.97
    sides = np.array([*MIRRORED, BACKGROUND], np.uint8)[plain.label_driving[:, ::-1]]
    # Nearest sampling may break its ties the other way at an outline.
    assert (mirror.label_driving == sides).mean() > 0.97
    flow = plain.flow[:, :, ::-1] * np.array([-1, 1], np.float32)[:, None, None]
    same = (mirror.label_driving == sides) & (mirror.visible[0] == plain.visible[0, :, ::-1])
    assert np.abs(mirror.flow - flow).max(0)[same].mean() < 0.01


def masks_of(labels):
    return np.stack([labels == k for k in range(COUNT)])[None].astype(np.float32)


def test_motion_of_mirrored_frames_is_the_mirrored_motion(puppet):
    plain = make_pair(puppet, 1, 5, SIZE)
    mirror = make_pair(puppet, 1, 5, SIZE, Augmentation(similarity(mirrored=True), True))
    motion, mirrored = (
        motion_of(
            torch.from_numpy(masks_of(pair.label_driving)),
            torch.from_numpy(pair.direction_driving)[None],
        ).numpy()
        for pair in (plain, mirror)
    )
    np.testing.assert_allclose(mirrored, mirror_motion(motion), atol=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.3, 0.3), st.floats(0.8, 1.2))
def test_motion_of_turned_and_scaled_masks_is_turned_and_scaled(seed, angle, scale):
    rng = np.random.default_rng(seed)
    picture = np.zeros((SIZE, SIZE), np.float32)
    centre, axes = rng.uniform(100, 156, 2), rng.uniform(25, 45, 2)
    box = (tuple(map(float, centre)), tuple(map(float, axes * 2)), float(rng.uniform(0, 180)))
    cv2.ellipse(picture, box, 1.0, -1)
    turned = cv2.warpAffine(picture, similarity(angle, scale)[:2], (SIZE, SIZE))
    heading = rng.uniform(-np.pi, np.pi)
    one, two = (
        motion_of(torch.from_numpy(mask)[None, None], directions(h, SIZE))[0, 0].numpy()
        for mask, h in ((picture, heading), (turned, heading + angle))
    )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(two[:2], scale * turn @ one[:2], atol=0.02)
    affine = scale * turn @ one[2:].reshape(2, 2)
    np.testing.assert_allclose(two[2:].reshape(2, 2), affine, atol=0.02)


def directions(heading, side):
    """A field of one direction, `heading` radians clockwise from the x axis: [1, 2, side, side]."""
    field = torch.tensor([np.cos(heading), np.sin(heading)], dtype=torch.float32)
    return field.view(1, 2, 1, 1).expand(1, 2, side, side)


@settings(max_examples=50)
@given(st.integers(0, 2**31))
def test_mirroring_motion_twice_changes_nothing(seed):
    motion = np.random.default_rng(seed).normal(size=(3, COUNT, 6)).astype(np.float32)
    assert np.array_equal(mirror_motion(mirror_motion(motion)), motion)


def test_a_small_picture_shows_every_place_where_it_is():
    ramp = np.minimum(2 * np.arange(SIZE), 255).astype(np.uint8)
    pictures = np.broadcast_to(ramp[:, None], (2, SIZE, SIZE, 3))
    found = make_pair(FrameSequence("ramp", pictures, (0, 0)), 0, 1, SIZE // 4).still
    # The middle of a small pixel is that of the four that it covers.
    expected = 2 * (4 * np.arange(30) + 1.5)
    np.testing.assert_allclose(found[0, 0, :30] * 255, expected, atol=0.3)


def test_a_pair_is_augmented_alike_and_in_range(puppet):
    pair = make_pair(puppet, 1, 1, 128, random_augmentation(np.random.default_rng(0)))
    assert np.array_equal(pair.still, pair.driving)
    assert np.abs(pair.flow).max() < 1e-5
    assert pair.still.min() >= 0
    assert pair.still.max() <= 1


def test_augmentations_are_mild_and_say_whether_they_mirror():
    drawn = [random_augmentation(np.random.default_rng(seed)) for seed in range(400)]
    turns = np.stack([each.matrix[:2, :2] for each in drawn])
    signs = np.sign(np.linalg.det(turns))
    np.testing.assert_array_equal(signs, [-1 if each.mirrored else 1 for each in drawn])
    assert 0.4 < (signs < 0).mean() < 0.6
    scales = np.sqrt(np.abs(np.linalg.det(turns)))
    assert (0.85 <= scales.min() < 0.9) & (1.25 < scales.max() <= 1.3)
    angles = np.arctan2(turns[:, 1, 0] * signs, turns[:, 0, 0] * signs)
    assert (-0.2 <= angles.min() < -0.18) & (0.18 < angles.max() <= 0.2)
    middle = np.array([(SIZE - 1) / 2, (SIZE - 1) / 2, 1])
    moved = np.stack([each.matrix @ middle - middle for each in drawn])[:, :2]
    assert (np.abs(moved).max(0) <= 16).all() & (np.abs(moved).max(0) > 14).all()
    # The order of colours stays in most, and all of them are there.
    assert 0.1 < np.mean([each.channels != (0, 1, 2) for each in drawn]) < 0.25
    assert all(sorted(each.channels) == [0, 1, 2] for each in drawn)
    gains, offsets = (np.array([getattr(e, n) for e in drawn]) for n in ("gain", "shift"))
    assert (0.75 <= gains.min() < 0.77) & (1.23 < gains.max() <= 1.25)
    assert (-0.12 <= offsets.min() < -0.11) & (0.11 < offsets.max() <= 0.12)
    assert (np.ptp(gains, axis=1) > 0).all(), "channels change each by itself"


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for i in range(5):
        writer.write(np.full((64, 96, 3), 40 * i, np.uint8))
    writer.release()
    return path


def test_a_clip_becomes_square_pictures_of_which_nothing_else_is_known(clip):
    (sequence,) = clip_sequences(clip)
    assert sequence.pictures.shape == (5, SIZE, SIZE, 3)
    assert sequence.before == (0, 0, 1, 2, 3)
    pair = make_pair(sequence, 0, 3, 64)
    assert pair.known == 0
    assert (pair.label_driving == UNKNOWN).all()
    assert not pair.flow_weight.any()
    # That its still shows all there is, is likely and no more.
    assert pair.visible.all()
    assert (pair.visible_weight > 0).all()
    assert (pair.visible_weight < 0.5).all()


def test_of_a_long_clip_moments_are_kept_with_the_frame_before_each():
    def numbers(count, most):
        kept = list(spread_moments((np.full(1, n) for n in range(count)), most))
        assert all(picture[0] == number for number, picture in kept)
        return [number for number, _ in kept]

    assert numbers(8, 8) == list(range(8))
    assert numbers(9, 8) == [0, 3, 4, 7, 8]
    assert numbers(30, 8) == [0, 7, 8, 15, 16, 23, 24]
    assert numbers(5000, 100) == [n for n in range(5000) if n % 128 in (0, 127)]
    sequence = pictures_alone(Path("long.mp4"), {n: np.full((2, 2, 3), n) for n in (0, 3, 4, 7)})
    assert sequence.before == (0, 1, 1, 3)
    assert sequence.pictures[:, 0, 0, 0].tolist() == [0, 3, 4, 7]


def test_what_is_no_clip_is_refused(tmp_path):
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"not a clip")
    with pytest.raises(BadInput, match="clip"):
        clip_sequences(broken)


def test_what_is_drawn_on_a_plain_ground_is_trained_and_scored_whole(tmp_path):
    """It was trained on its middle square, and scored whole."""
    frames = np.full((4, 40, 80, 3), 240, np.uint8)
    for number in range(4):
        frames[number, 10 + number : 20 + number, 2:12] = (200, 40, 20)
    write_animation(tmp_path / "drawn.png", list(frames), 25)
    (trained,) = clip_sequences(tmp_path / "drawn.png")
    scored = clip_frames(tmp_path / "drawn.png")
    assert np.array_equal(trained.pictures, scored.pictures)
    assert (np.asarray(trained.pictures)[0] != 240).any()
