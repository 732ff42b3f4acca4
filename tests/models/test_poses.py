"""Clips in other poses: hands carried elsewhere before the backdrop, labels with them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeanim.models.data.mattes import behind
from edgeanim.models.data.poses import _bend, posed
from edgeanim.models.data.puppets import SIZE
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.regions import REGIONS, UNKNOWN

HEAD, LEFT = REGIONS.index("head"), REGIONS.index("forearm and hand, left")
HAND = (90, 40, 30)
SEEDS = st.integers(0, 2**32)


def wall() -> np.ndarray:
    """A ramp, on which every place has a colour of its own."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    return np.stack([150 + x // 4, 150 + y // 4, 220 - x // 8], axis=-1).astype(np.uint8)


def waving_hand(frames: int = 6) -> FrameSequence:
    """A dark hand that wanders before the wall, with exact labels, mattes and backdrop."""
    pictures = np.stack([wall()] * frames)
    labels = np.full((frames, SIZE, SIZE), UNKNOWN, np.uint8)
    for t in range(frames):
        place = slice(100, 130), slice(60 + 20 * t, 90 + 20 * t)
        pictures[t][place] = HAND
        labels[t][place] = LEFT
    cut = np.where(labels == LEFT, 255, 0).astype(np.uint8)
    before = tuple(max(0, t - 1) for t in range(frames))
    return FrameSequence(
        "hand", pictures, before, weak_labels=labels, mattes=cut, backdrop=behind(pictures, cut)
    )


CLIP = waving_hand()


def test_the_backdrop_is_what_any_frame_shows_of_it():
    np.testing.assert_array_equal(CLIP.backdrop, wall())


def test_a_backdrop_that_no_frame_shows_is_filled_from_around_it():
    cut = np.zeros((3, SIZE, SIZE), np.uint8)
    cut[:, 90:140, 90:140] = 255
    pictures = np.where(cut[..., None] > 0, 0, wall()).astype(np.uint8)
    filled = behind(pictures, cut)
    difference = np.abs(filled.astype(int) - wall())
    assert difference.max() < 40
    assert not difference[:80].any()


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, still=st.integers(0, 5), driving=st.integers(0, 5))
def test_a_hand_is_carried_with_its_label_and_leaves_the_backdrop_behind(seed, still, driving):
    clip, (first, last) = posed(CLIP, (still, driving), np.random.default_rng(seed))
    assume(clip is not CLIP)
    np.testing.assert_array_equal(clip.pictures[first], CLIP.pictures[still])
    np.testing.assert_array_equal(clip.weak_labels[first], CLIP.weak_labels[still])
    assert clip.before[last] not in (first, last)
    for frame in (clip.before[last], last):
        hand = clip.weak_labels[frame] == LEFT
        assert hand.any()
        away = np.abs(clip.pictures[frame].astype(int) - wall()).max(2)
        inside = cv2.erode(hand.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        outside = cv2.dilate(hand.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
        assert np.abs(clip.pictures[frame][inside].astype(int) - HAND).max() < 12
        # Where nothing moved, the frame is itself; where the hand was, the wall is.
        assert away[outside].max() <= 2


def test_hands_go_far_and_never_further_than_they_may():
    middle = _middle(CLIP.weak_labels[3] == LEFT)
    ways = []
    for seed in range(60):
        clip, (_, last) = posed(CLIP, (0, 3), np.random.default_rng(seed))
        if clip is not CLIP:
            ways.append(np.hypot(*(_middle(clip.weak_labels[last] == LEFT) - middle)))
    assert 20 < len(ways) < 40, "about half are posed"
    assert max(ways) < 33
    assert np.median(ways) > 8


def _middle(mask):
    return np.argwhere(mask).mean(0)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS, places=st.lists(st.tuples(*[st.integers(0, SIZE - 20)] * 2), min_size=3, max_size=3)
)
def test_no_bend_folds_the_picture(seed, places):
    labels = np.full((SIZE, SIZE), UNKNOWN, np.uint8)
    for region, (x, y) in zip((HEAD, LEFT, LEFT + 1), places, strict=True):
        labels[y : y + 20, x : x + 20] = region
    grid, moved = _bend(labels, np.random.default_rng(seed))
    down, across = np.gradient(grid, axis=(0, 1))
    assert (across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]).min() > 0
    assert moved.any()


def test_a_clip_in_which_nobody_is_cut_out_stays_as_it_is():
    for bare in ({"mattes": None}, {"backdrop": None}, {"weak_labels": None}):
        clip = replace(CLIP, **bare)
        for seed in range(5):
            found = posed(clip, (0, 3), np.random.default_rng(seed))
            assert found == (clip, (0, 3))
