"""What optical flow tells of two frames: true where it is believed, silent where nothing is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.data.augmentation import PLAIN, Augmentation, similarity
from edgeanim.models.data.optical_flow import consistent_flow
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets.puppet import KINDS, SIZE, make_puppet
from edgeanim.models.data.sequences import FrameSequence, puppet_sequence
from edgeanim.models.regions import UNKNOWN

SIDE, CELLS = 128, 32
INNER = np.s_[:, 11:21, 11:21]
"""Cells of the grid that lie well within the patch of `patched`."""


def texture(seed, height=SIDE, width=SIDE):
    """A picture [h, w, 3] in 0..1 that looks different everywhere, and smooth enough to follow."""
    noise = np.random.default_rng(seed).uniform(0, 1, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def planes(picture):
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def moved(picture, turn=0.0, scale=1.0, shift=(0.0, 0.0)):
    """The picture turned and scaled about its centre, then shifted; and the matrix [2, 3] of it."""
    height, width = picture.shape[:2]
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, np.degrees(turn), scale)
    matrix[:, 2] += shift
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), matrix


def truth(matrix, height=SIDE, width=SIDE):
    """Where the middle of each cell came from, in pixels of the still [2, cells, cells], and the
    offset to there."""
    x = (np.arange(CELLS) + 0.5) * width / CELLS - 0.5
    y = (np.arange(CELLS) + 0.5) * height / CELLS - 0.5
    here = np.stack(np.meshgrid(x, y))
    back = cv2.invertAffineTransform(matrix)
    there = np.einsum("ij,jhw->ihw", back[:, :2], here) + back[:, 2, None, None]
    return there, there - here


def within(there, margin, height=SIDE, width=SIDE):
    """Which of these places lie in the picture, `margin` pixels from its edges or more."""
    sides = np.array([width, height])[:, None, None]
    return ((there >= margin) & (there <= sides - 1 - margin)).all(0)


def patched(picture):
    """The picture with a square in its middle that it does not show anywhere."""
    driving = picture.copy()
    driving[40:88, 40:88] = (1.0, 0.1, 0.1)
    for row in range(40, 88, 8):
        driving[row : row + 4, 40:88] = (0.1, 0.9, 0.2)
    return driving


def errors_of(still, driving, matrix):
    """Pixels by which the flow found is off, where it is to be believed; nearly everywhere is."""
    found = consistent_flow(planes(still), planes(driving), CELLS)
    there, offset = truth(matrix)
    inside = within(there, 5)
    assert found.flow_weight[0][inside].mean() > 0.97
    trusted = inside & (found.flow_weight[0] > 0)
    return np.hypot(*(found.flow * SIDE / 2 - offset))[trusted]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(-8, 8), st.floats(-8, 8))
def test_a_shift_is_found_to_a_tenth_of_a_pixel(seed, dx, dy):
    still = texture(seed)
    driving, matrix = moved(still, shift=(dx, dy))
    error = errors_of(still, driving, matrix)
    assert error.mean() < 0.1
    assert error.max() < 0.5


@settings(max_examples=25)
@given(
    st.integers(0, 10_000),
    st.floats(-0.06, 0.06),
    st.floats(0.95, 1.05),
    st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
)
def test_a_turn_and_a_change_of_size_are_found_to_a_fraction_of_a_pixel(seed, turn, scale, shift):
    still = texture(seed)
    driving, matrix = moved(still, turn, scale, shift)
    error = errors_of(still, driving, matrix)
    assert error.mean() < 0.2
    assert np.quantile(error, 0.95) < 0.6


def test_offsets_are_in_half_pictures_of_each_axis():
    still = texture(1, 96, 192)
    driving, matrix = moved(still, shift=(9.0, -3.0))
    found = consistent_flow(planes(still), planes(driving), CELLS)
    there, offset = truth(matrix, 96, 192)
    trusted = within(there, 8, 96, 192) & (found.flow_weight[0] > 0)
    assert trusted.mean() > 0.7
    halves = np.array([192, 96])[:, None, None] / 2
    np.testing.assert_allclose((found.flow * halves)[:, trusted], offset[:, trusted], atol=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_what_comes_from_beyond_the_picture_is_not_guided(seed):
    """Though both repeat their edges, and so look alike there."""
    still = texture(seed)
    driving, matrix = moved(still, shift=(14.0, 0.0))
    there, _ = truth(matrix)
    found = consistent_flow(planes(still), planes(driving), CELLS)
    assert (found.flow_weight[0][within(there, 5)] == 1).mean() > 0.95
    assert (found.flow_weight[0][there[0] < -3] == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_lamp_that_is_switched_on_is_neither_followed_nor_taken_for_a_thing(seed):
    """What is lit looks other than it did, but leads home."""
    still = 0.5 * texture(seed)
    found = consistent_flow(planes(still), planes(still + np.float32(0.35)), CELLS)
    assert (found.flow_weight == 0).all()
    assert (found.visible_weight == 0).all()
    assert (found.visible == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_what_is_lost_among_the_like_is_not_taken_to_be_hidden(seed):
    still, driving = (texture(seed) for _ in range(2))
    for number, picture in enumerate((still, driving)):
        grain = texture(100 + 2 * seed + number)
        picture[40:88, 40:88] = 0.5 + 0.15 * (grain[40:88, 40:88] - 0.5)
    found = consistent_flow(planes(still), planes(driving), CELLS)
    assert found.flow_weight[INNER].mean() < 0.7
    assert (found.visible[INNER] == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_of_two_equal_frames_everything_is_known_to_stay(seed):
    still = planes(texture(seed))
    found = consistent_flow(still, still.copy(), CELLS)
    assert np.abs(found.flow).max() * SIDE / 2 < 0.05
    for mask in (found.flow_weight, found.visible, found.visible_weight):
        assert (mask == 1).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_patch_from_nowhere_is_not_guided_and_is_judged_to_be_hidden(seed):
    still = texture(seed)
    found = consistent_flow(planes(still), planes(patched(still)), CELLS)
    assert found.flow_weight[INNER].mean() < 0.05
    hidden = (found.visible_weight[INNER] == 1) & (found.visible[INNER] == 0)
    assert hidden.mean() > 0.6
    around = np.ones((CELLS, CELLS), bool)
    around[8:24, 8:24] = False
    assert found.flow_weight[0][around].mean() > 0.97
    assert np.abs(found.flow[:, around]).max() * SIDE / 2 < 0.2


def test_what_came_into_the_picture_is_not_guided():
    still = texture(4)
    driving, matrix = moved(still, shift=(16.0, 0.0))
    # Replicated edges would look like the still's own: what comes in is something else.
    driving[:, :16] = texture(5)[:, :16]
    found = consistent_flow(planes(still), planes(driving), CELLS)
    there, _ = truth(matrix)
    assert found.flow_weight[0][~within(there, -2)].mean() < 0.1


def picture_of(kind, seed, side):
    """Of what may come in a clip: nothing at all, noise, a ramp, bars, a texture."""
    rng = np.random.default_rng(seed)
    if kind == "plain":
        picture = np.full((side, side, 3), rng.uniform(0, 1, 3))
    elif kind == "noise":
        picture = rng.uniform(0, 1, (side, side, 3))
    elif kind == "ramp":
        picture = np.broadcast_to(np.linspace(0, 1, side)[:, None, None], (side, side, 3))
    elif kind == "bars":
        picture = np.kron(rng.integers(0, 2, (8, 8, 3)), np.ones((side // 8, side // 8, 1)))
    else:
        picture = texture(seed, side, side)
    return planes(picture.astype(np.float32))


PICTURES = st.tuples(
    st.sampled_from(["plain", "noise", "ramp", "bars", "texture"]), st.integers(0, 10_000)
)


@settings(max_examples=60)
@given(PICTURES, PICTURES, st.sampled_from([64, 96, 128, 192, 256]))
def test_whatever_the_pictures_the_answer_has_its_shape_and_makes_sense(one, other, side):
    found = consistent_flow(picture_of(*one, side), picture_of(*other, side), side // 4)
    assert found.flow.shape == (2, side // 4, side // 4)
    assert found.flow.dtype == np.float32
    assert np.isfinite(found.flow).all()
    assert np.abs(found.flow).max() <= 2
    for mask in (found.flow_weight, found.visible, found.visible_weight):
        assert mask.shape == (1, side // 4, side // 4)
        assert mask.dtype == np.float32
        assert set(np.unique(mask)) <= {0, 1}
    assert (found.visible >= found.flow_weight).all()
    assert np.array_equal(
        found.visible_weight == 1, (found.flow_weight == 1) | (found.visible == 0)
    )
    assert (found.flow[:, found.flow_weight[0] == 0] == 0).all()


@settings(max_examples=30)
@given(PICTURES)
def test_any_picture_stays_where_it_is(kind):
    picture = picture_of(*kind, SIDE)
    found = consistent_flow(picture, picture, CELLS)
    assert (found.visible == 1).all()
    assert np.abs(found.flow).max() * SIDE / 2 < 0.1


def test_several_threads_find_what_one_finds():
    still = texture(0)
    pictures = planes(still), planes(moved(still, 0.05, 1.03, (4.0, -2.0))[0])
    alone = consistent_flow(*pictures, CELLS)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: consistent_flow(*pictures, CELLS), range(24)))
    for found in results:
        assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))


def clip_of(*frames, weak_labels=None):
    pictures = np.stack([(frame * 255).astype(np.uint8) for frame in frames])
    return FrameSequence("clip", pictures, (0,) * len(frames), weak_labels=weak_labels)


@pytest.fixture(scope="module")
def clip():
    still = texture(2, SIZE, SIZE)
    return clip_of(still, moved(still, 0.05, 1.02, (6.0, -4.0))[0])


def test_a_mirrored_pair_has_the_mirrored_flow(clip):
    plain = make_pair(clip, 0, 1, SIDE, PLAIN, optical_flow=True)
    mirrored = Augmentation(similarity(mirrored=True), mirrored=True)
    other = make_pair(clip, 0, 1, SIDE, mirrored, optical_flow=True)
    for name in ("flow_weight", "visible", "visible_weight"):
        assert (getattr(other, name)[:, :, ::-1] == getattr(plain, name)).mean() > 0.97
    both = (plain.flow_weight[0] > 0) & (other.flow_weight[0, :, ::-1] > 0)
    assert both.mean() > 0.8
    back = other.flow[:, :, ::-1] * np.array([-1, 1], np.float32)[:, None, None]
    # Less than half a pixel of the pictures apart.
    assert np.abs(back - plain.flow)[:, both].mean() * SIDE / 2 < 0.1
    assert np.quantile(np.abs(back - plain.flow)[:, both], 0.95) * SIDE / 2 < 0.5


def test_only_with_optical_flow_is_a_clip_told_where_it_came_from(clip):
    blind = make_pair(clip, 0, 1, SIDE)
    assert (blind.flow_weight == 0).all()
    assert (blind.visible == 1).all()
    seeing = make_pair(clip, 0, 1, SIDE, optical_flow=True)
    assert seeing.flow_weight.mean() > 0.8
    assert (seeing.visible_weight[seeing.flow_weight > 0] == 1).all()
    assert seeing.known == blind.known == 0
    assert (seeing.label_driving == UNKNOWN).all()


def test_where_a_hand_is_lost_its_weak_label_still_guides():
    still, hand = texture(3, SIZE, SIZE), 4
    driving = cv2.resize(patched(cv2.resize(still, (SIDE, SIDE))), (SIZE, SIZE))
    labels = np.full((2, SIZE, SIZE), UNKNOWN, np.uint8)
    labels[0, 80:176, 16:112] = hand
    labels[1, 80:176, 80:176] = hand
    clip = clip_of(still, driving, weak_labels=labels)
    pair = make_pair(clip, 0, 1, SIDE, optical_flow=True)
    assert (pair.flow_weight[INNER] == 1).all()
    assert (pair.visible[INNER] == 1).all()
    assert (pair.visible_weight[INNER] == 1).all()
    # The label moved by 64 of 256 pixels to the right.
    told = np.median(pair.flow[INNER], axis=(1, 2))
    np.testing.assert_allclose(told, (-64 * 2 / SIZE, 0), atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_puppet_all_is_known_already(kind):
    seed = next(s for s in range(100) if make_puppet(s).kind == kind)
    puppet = puppet_sequence(seed, (0.0, 0.3))
    plain, seeing = (make_pair(puppet, 1, 3, SIDE, optical_flow=on) for on in (False, True))
    for field in fields(plain):
        assert np.array_equal(getattr(plain, field.name), getattr(seeing, field.name)), field.name
