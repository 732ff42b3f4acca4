"""Smoothing takes out trembling, is never late, holds three motions, and the player plays it."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.errors import UsageError
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from edgeanim.runtime.smoothing import smoothed
from tests.runtime.stubs import ANIMATOR, ANIMATOR_BODIES, one_graph, picture, sessions, spot

MOTIONS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 12), st.just(1), st.just(2), st.just(6)),
    elements=st.floats(-2, 2, width=32),
)


@given(MOTIONS)
def test_every_number_is_the_binomial_mean_of_three_and_the_ends_stay(motions):
    found = list(smoothed(motions))
    assert len(found) == len(motions)
    expected = motions.copy()
    expected[1:-1] = (motions[:-2] + 2 * motions[1:-1] + motions[2:]) / 4
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-6)


@given(st.integers(3, 30), st.floats(-0.1, 0.1))
def test_a_steady_motion_passes_unchanged_and_is_not_late(count, speed):
    steady = (np.arange(count) * speed).astype(np.float32)[:, None, None]
    np.testing.assert_allclose(np.stack(list(smoothed(steady))), steady, atol=1e-5)


def test_a_tremble_from_frame_to_frame_is_taken_out():
    tremble = np.where(np.arange(50) % 2, 0.1, -0.1).astype(np.float32)[:, None, None]
    assert np.abs(np.stack(list(smoothed(tremble))[1:-1])).max() < 1e-6


def test_over_ten_thousand_frames_no_more_than_three_motions_are_held():
    alive: set[int] = set()
    most = 0

    def motions():
        nonlocal most
        for number in range(10_000):
            motion = np.full((10, 6), number % 7, np.float32)
            alive.add(number)
            weakref.finalize(motion, alive.discard, number)
            most = max(most, len(alive))
            yield motion
            del motion

    sums = [float(motion.sum()) for motion in smoothed(motions())]
    assert len(sums) == 10_000
    assert sums[-1] == 60 * (9_999 % 7)
    assert most <= 4  # three, and the one that comes in


def player_of(**options) -> Player:
    opened = sessions(ANIMATOR, ANIMATOR_BODIES, "NCHW")
    return Player(ANIMATOR, opened, motion=MotionOptions(**options))


def test_the_player_plays_the_smoothed_motion_and_each_frame_with_its_own():
    driver = [spot(20, 20), spot(28, 20), spot(20, 20), spot(28, 20), spot(36, 20)]
    frames = list(player_of(smooth=True).play(Scene(still=spot(32, 24), driver=driver)))
    # The spot is at 20, 28, 20, 28, 36; smoothed at 20, 24, 24, 28, 36; the still's began at 32.
    for frame, x in zip(frames, [32, 36, 36, 40, 48], strict=True):
        assert np.abs(frame.astype(int) - spot(x, 24)).mean() < 1


@pytest.mark.parametrize("count", [2, 3])
def test_short_drivers_lose_no_frame(count):
    driver = [spot(20 + 4 * i, 20) for i in range(count)]
    player = player_of(smooth=True)
    seen = []
    for _ in player.play(Scene(still=spot(32, 24), driver=driver)):
        seen.append(set(player.timings))
    assert seen == [{"prepare", "regions", "animate", "compose"}] * count


def test_each_frame_is_timed_by_itself_though_the_next_one_is_looked_at_before_it():
    driver = [spot(20 + 4 * i, 20) for i in range(3)]
    player = player_of(smooth=True)
    timings = []
    for number, _ in enumerate(player.play(Scene(still=spot(32, 24), driver=driver))):
        assert all(player.timings is not before for before in timings)
        player.timings["mark"] = number
        timings.append(player.timings)
    assert [before["mark"] for before in timings] == [0, 1, 2]


def test_a_stored_track_is_smoothed_too_if_that_is_asked_for():
    track = np.zeros((3, 1, 6), np.float32)
    track[:, 0, 2] = track[:, 0, 5] = 0.5
    track[:, 0, 0] = [0.0, 0.5, 0.0]
    scene = Scene(still=spot(20, 32), track=MotionTrack(track, 10))
    for player, x in ((player_of(), 36), (player_of(smooth=True), 28)):
        frames = list(player.play(scene))
        assert np.abs(frames[1].astype(int) - spot(x, 32)).mean() < 1


def test_a_model_that_takes_more_than_motion_is_not_smoothed_in_silence():
    contract = one_graph(picture("image", "driving_frame"))
    opened = sessions(contract, {"net": lambda values: {"result": values["image"]}})
    with pytest.raises(UsageError, match="more than motion") as caught:
        Player(contract, opened, motion=MotionOptions(smooth=True))
    assert "--smooth" in str(caught.value)


def test_of_a_long_driver_no_more_than_a_few_frames_are_held():
    alive: set[int] = set()

    def driver():
        for number in range(80):
            frame = spot(20 + number % 8, 20)
            alive.add(number)
            weakref.finalize(frame, alive.discard, number)
            yield frame
            del frame

    frames = player_of(smooth=True).play(Scene(still=spot(32, 24), driver=driver()))
    held = [len(alive) for _ in frames]
    assert len(held) == 80
    assert max(held) <= 4
