"""Clips bent where something moves: what rests and the still stay, labels go along."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeanim.models.data.clips.bends import at_rest, bent
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.regions import REGIONS, UNKNOWN

LEFT = REGIONS.index("forearm and hand, left")
HAND = (90, 40, 30)
ENDS = st.integers(0, 5)
SEEDS = st.integers(0, 2**32)


def wall() -> np.ndarray:
    """A ramp, on which every place has a colour of its own."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    return np.stack([150 + x // 4, 150 + y // 4, 220 - x // 8], axis=-1).astype(np.uint8)


def waving_hand(frames: int = 6) -> FrameSequence:
    """A dark hand that wanders before the wall, with exact labels and mattes."""
    pictures = np.stack([wall()] * frames)
    labels = np.full((frames, SIZE, SIZE), UNKNOWN, np.uint8)
    for t in range(frames):
        place = slice(100, 130), slice(40 + 32 * t, 70 + 32 * t)
        pictures[t][place] = HAND
        labels[t][place] = LEFT
    before = tuple(max(0, t - 1) for t in range(frames))
    mattes = np.where(labels == LEFT, 255, 0).astype(np.uint8)
    return FrameSequence(
        "hand", pictures, before, weak_labels=labels, mattes=mattes, rest=at_rest(pictures)
    )


CLIP = waving_hand()


def test_what_a_clip_shows_for_most_of_the_time_rests():
    np.testing.assert_array_equal(CLIP.rest, wall())


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, still=ENDS, driving=ENDS)
def test_the_driving_frame_is_bent_where_something_moves_and_the_still_is_not(seed, still, driving):
    three, (first, last) = bent(CLIP, (still, driving), np.random.default_rng(seed))
    assume(three is not CLIP)
    np.testing.assert_array_equal(three.pictures[first], CLIP.pictures[still])
    np.testing.assert_array_equal(three.weak_labels[first], CLIP.weak_labels[still])
    made, real = three.pictures[last], CLIP.pictures[driving]
    near = cv2.dilate((CLIP.weak_labels[driving] == LEFT).astype(np.uint8), np.ones((81, 81))) > 0
    np.testing.assert_array_equal(made[~near], real[~near])
    assert (made != real).any()


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, driving=ENDS)
def test_labels_and_mattes_go_with_the_picture(seed, driving):
    three, (_, last) = bent(CLIP, (0, driving), np.random.default_rng(seed))
    labelled = (three.weak_labels[last] == LEFT).astype(np.uint8)
    np.testing.assert_array_equal(three.mattes[last] > 0, labelled > 0)
    hand = np.abs(three.pictures[last].astype(int) - HAND).max(-1) < 40
    assert hand[cv2.erode(labelled, np.ones((5, 5))) > 0].all()
    assert not hand[cv2.dilate(labelled, np.ones((5, 5))) == 0].any()


def test_half_of_the_pairs_are_bent_and_hands_come_some_pixels_away():
    ways = []
    for seed in range(200):
        clip, (_, last) = bent(CLIP, (0, 3), np.random.default_rng(seed))
        if clip is not CLIP:
            middle = np.argwhere(clip.weak_labels[last] == LEFT).mean(0)
            ways.append(middle - np.argwhere(CLIP.weak_labels[3] == LEFT).mean(0))
    assert 80 < len(ways) < 120
    assert 2 < np.std(ways, axis=0).min() < np.std(ways, axis=0).max() < 8
    assert np.abs(np.mean(ways, axis=0)).max() < 1.5


@pytest.mark.parametrize("nothing", ["rest", "moves"])
def test_where_nothing_is_known_to_move_all_stays_as_it_is(nothing):
    still = replace(CLIP, pictures=np.stack([wall()] * 6))
    clip = replace(CLIP, rest=None) if nothing == "rest" else still
    for seed in range(6):
        made, ends = bent(clip, (0, 3), np.random.default_rng(seed))
        for one, other in zip(ends, (0, 3), strict=True):
            np.testing.assert_array_equal(made.pictures[one], clip.pictures[other])
