"""Which still a frame is made of, and how one takes over from another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeanim.runtime.nearest_still import NearestStill, distance

motions = arrays(np.float32, (1, 3, 6), elements=st.floats(-1, 1, width=32))


def at(x: float, size: float = 0.5) -> np.ndarray:
    """One region of this size around (x, 0)."""
    return np.array([[[x, 0, size, 0, 0, size]]], np.float32)


@given(motions, motions)
def test_the_distance_is_that_of_a_metric_but_for_what_is_not_there(one, other):
    assert distance(one, one) == 0
    assert distance(one, other) >= 0
    assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-5, abs=1e-7)


def test_the_distance_is_the_way_of_a_regions_outline():
    assert distance(at(0), at(0.3)) == pytest.approx(0.3)
    angles = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    outline = np.stack([np.cos(angles), np.sin(angles)])
    turned = at(0.1).copy()
    turned[0, 0, 2:] = 0.3, -0.4, 0.4, 0.3
    ways = (turned[0, 0, 2:].reshape(2, 2) - 0.5 * np.eye(2)) @ outline + [[0.1], [0]]
    assert distance(at(0), turned) == pytest.approx(np.sqrt((ways**2).sum(0).mean()), rel=1e-4)


def test_the_distances_of_several_poses_are_those_of_each():
    poses = [at(0), at(0.3, 0), at(0, 0.1)]
    each = [distance(pose, at(0.5)) for pose in poses]
    np.testing.assert_array_equal(distance(np.concatenate(poses), at(0.5)), np.concatenate(each))


def test_a_large_region_counts_for_more_and_one_that_is_nowhere_for_nothing():
    still = np.concatenate([at(0), at(0, 0.1), at(0, 0)], axis=1)
    for moved, expected in ((0, 0.6 * 0.5 / 0.6), (1, 0.6 * 0.1 / 0.6), (2, 0)):
        other = still.copy()
        other[0, moved, 0] = 0.6
        assert distance(still, other) == pytest.approx(expected, rel=1e-5)


def test_regions_that_all_are_points_count_alike():
    still = np.concatenate([at(0, 0), at(0, 0)], axis=1)
    other = still.copy()
    other[0, 1, 0] = 0.6
    assert distance(still, other) == pytest.approx(0.3)


def test_a_frame_is_made_of_the_nearest_still_and_a_change_takes_two_frames():
    choice = NearestStill([at(0), at(1)])
    steps = [choice.shares(at(x)) for x in (0.0, 0.35, 0.65, 0.67, 0.7, 0.7, 0.7)]
    assert steps[:3] == [((0, 1.0),)] * 3  # at 0.65 the other is nearer, but not by enough
    shown = [(number, round(share, 3)) for step in steps[3:5] for number, share in step]
    assert shown == [(1, 0.333), (0, 0.667), (1, 0.667), (0, 0.333)]
    assert steps[5:] == [((1, 1.0),)] * 2


def test_the_first_still_is_preferred_and_of_the_others_none():
    assert NearestStill([at(0), at(1)]).shares(at(0.6)) == ((0, 1.0),)
    assert NearestStill([at(9), at(0), at(1)]).shares(at(0.52)) == ((2, 1.0),)


def test_the_first_frame_and_one_after_a_cut_are_of_one_still():
    choice = NearestStill([at(0), at(1)])
    assert [choice.shares(at(x)) for x in (0.9, 0.1, 0.95)] == [
        ((1, 1.0),),
        ((0, 1.0),),
        ((1, 1.0),),
    ]


def test_the_motion_may_be_memory_that_the_next_one_takes():
    choice, motion = NearestStill([at(0), at(1)]), at(0.1)
    choice.shares(motion)
    motion[...] = at(0.95)
    assert choice.shares(motion) == ((1, 1.0),)


@given(st.lists(motions, min_size=1, max_size=4), st.lists(motions, min_size=1, max_size=12))
def test_every_frame_has_shares_of_known_stills_that_make_a_whole(poses, played):
    choice = NearestStill(poses)
    for motion in played:
        shares = choice.shares(motion)
        assert 1 <= len(shares) <= 2
        assert sum(share for _, share in shares) == pytest.approx(1)
        assert all(0 <= number < len(poses) and share > 0 for number, share in shares)
        assert len({number for number, _ in shares}) == len(shares)
