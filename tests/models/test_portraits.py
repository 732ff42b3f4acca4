"""Portraits out of clips: a face turns as a ball does, its labels with it, and all else stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.data.portraits import portrait
from edgeanim.models.data.puppets import SIZE
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.regions import BACKGROUND

HEAD = 0
WALL, SKIN, NOSE = (90, 120, 200), (220, 170, 140), (250, 20, 20)
MIDDLE, WIDTH, HEIGHT = (130, 90), 50, 62


def facing(frames: int = 5) -> FrameSequence:
    """A face with a red nose in its middle, before a wall, the same in all frames."""
    picture = np.full((SIZE, SIZE, 3), WALL, np.uint8)
    cv2.ellipse(picture, MIDDLE, (WIDTH // 2, HEIGHT // 2), 0, 0, 360, SKIN, -1)
    face = (picture == SKIN).all(2)
    cv2.circle(picture, MIDDLE, 4, NOSE, -1)
    labels = np.where(face, HEAD, BACKGROUND).astype(np.uint8)
    mattes = np.where(face, 255, 0).astype(np.uint8)
    return FrameSequence(
        "face",
        np.stack([picture] * frames),
        tuple(max(0, t - 1) for t in range(frames)),
        weak_labels=np.stack([labels] * frames),
        mattes=np.stack([mattes] * frames),
    )


def like(pictures, colour):
    return np.abs(pictures.astype(int) - colour).max(-1) < 40


def nose(picture) -> tuple[float, float]:
    y, x = np.nonzero(like(picture, NOSE))
    return float(x.mean()), float(y.mean())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), still=st.integers(0, 4), driving=st.integers(0, 4))
def test_labels_and_mattes_go_with_the_picture(seed, still, driving):
    clip = facing()
    three, (first, last) = portrait(clip, (still, driving), np.random.default_rng(seed))
    assert three.pictures.shape == (3, SIZE, SIZE, 3)
    assert three.before[last] == 1
    inside = [cv2.erode(m, np.ones((7, 7), np.uint8)) > 0 for m in three.mattes]
    assert not like(three.pictures[np.stack(inside)], WALL).mean() > 0.02
    assert (three.weak_labels[three.mattes > 0] == HEAD).all()
    assert (three.weak_labels[three.mattes == 0] == BACKGROUND).all()
    if clip.before[driving] == driving:
        np.testing.assert_array_equal(three.pictures[1], three.pictures[last])
    assert first == 0


def drawn(count: int = 120):
    clip = facing()
    return [
        portrait(clip, (0, 3), np.random.default_rng(seed))[0].pictures for seed in range(count)
    ]


def test_heads_turn_and_are_seen_from_closer_in_a_part_of_the_pairs():
    clip = facing()
    outline = like(clip.pictures[0], WALL)
    closer = [bool((like(each[0], WALL) != outline).mean() > 0.02) for each in drawn()]
    turned = [np.hypot(*np.subtract(nose(each[0]), nose(each[2]))) > 1 for each in drawn()]
    assert 0.25 < np.mean(closer) < 0.55
    assert 0.4 < np.mean(turned) < 0.75


def test_a_turned_head_keeps_its_outline_and_moves_its_nose_to_both_sides_as_far_as_a_ball_does():
    clip = facing()
    outline = like(clip.pictures[0], WALL)
    moved = []
    for pictures in drawn():
        if (like(pictures[0], WALL) != outline).mean() > 0.02:
            continue
        for picture in pictures:
            # The half axes are guessed from the labels: within a pixel or two.
            assert (like(picture, WALL) != outline).mean() < 0.006
            moved.append(np.subtract(nose(picture), MIDDLE))
    across, down = np.transpose(moved)
    # A ball as wide as the face shows its nose at sin(45 degrees) of its half width at most.
    assert across.min() < -0.4 * WIDTH / 2
    assert across.max() > 0.4 * WIDTH / 2
    assert np.abs(across).max() < 0.9 * WIDTH / 2
    assert np.abs(down).max() < 0.3 * HEIGHT / 2


def test_the_frame_before_has_nearly_turned_as_far():
    steps = [np.hypot(*np.subtract(nose(each[1]), nose(each[2]))) for each in drawn()]
    assert 0 < max(steps) < 14


@pytest.mark.parametrize("labels", [None, BACKGROUND])
def test_a_clip_in_which_no_face_is_known_stays_as_it_is(labels):
    clip = facing()
    known = None if labels is None else np.full_like(clip.weak_labels, labels)
    bare = FrameSequence("bare", clip.pictures, clip.before, weak_labels=known)
    for seed in range(10):
        same, ends = portrait(bare, (1, 4), np.random.default_rng(seed))
        assert same is bare
        assert ends == (1, 4)
