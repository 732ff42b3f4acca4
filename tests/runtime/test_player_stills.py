"""The player with several stills of one character, of which each frame takes the nearest."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from edgeanim.runtime import stills as stills_module
from edgeanim.runtime.pictures import mixed
from edgeanim.runtime.scene import Scene
from tests.runtime.stubs import animator, spot

RED, GREEN = (255, 0, 0), (0, 255, 0)


def _coloured(x: int, y: int, colour: tuple[int, ...]) -> np.ndarray:
    return np.where(spot(x, y)[:, :, :1] > 0, np.uint8(colour), np.uint8(0))


def test_each_frame_is_made_of_the_still_whose_pose_is_nearest():
    player, opened = animator(transfer="raw")
    stills = {"still": _coloured(20, 32, RED), "more_stills": [_coloured(40, 32, GREEN)]}
    drivers = [(22, 32), (26, 32), (44, 36), (40, 32)]
    frames = list(player.play(Scene(driver=[spot(*at) for at in drivers], **stills)))
    for frame, at, colour in zip(frames, drivers, (RED, RED, GREEN, GREEN), strict=True):
        assert np.abs(frame.astype(int) - _coloured(*at, colour)).mean() < 1
    assert len(opened["encode"].seen) == 2
    assert len({frame.ctypes.data for frame in frames}) == len(frames)


def test_while_a_still_takes_over_a_frame_is_mixed_of_two():
    player, opened = animator(transfer="raw")
    stills = {"still": _coloured(20, 32, RED), "more_stills": [_coloured(40, 32, GREEN)]}
    driver = [spot(x, 32) for x in (30, 34, 34, 34)]
    frames = list(player.play(Scene(driver=driver, **stills)))
    colours = [frame[32, 32].tolist() for frame in frames]
    assert colours == [[255, 0, 0], [170, 85, 0], [85, 170, 0], [0, 255, 0]]
    assert len(opened["animate"].seen) == 4 + 2
    assert set(player.timings) == {"prepare", "regions", "animate", "compose"}


def test_mixing_two_stills_counts_among_what_a_frame_takes(monkeypatch):
    def slowly(one, other, share):
        time.sleep(0.05)
        return mixed(one, other, share)

    monkeypatch.setattr(stills_module, "mixed", slowly)
    player, _ = animator(transfer="raw")
    stills = {"still": _coloured(20, 32, RED), "more_stills": [_coloured(40, 32, GREEN)]}
    frames = player.play(Scene(driver=[spot(30, 32), spot(34, 32)], **stills))
    for _ in range(2):
        next(frames)
    assert player.timings["compose"] > 0.05


def test_stills_share_the_memory_in_which_frames_are_made():
    player, _ = animator(transfer="raw")
    places = range(8, 57, 8)
    first, *others = (np.kron(spot(x, 32), np.ones((8, 8, 1), np.uint8)) for x in places)
    driver = [spot(x, 32) for x in places]
    tracemalloc.start()
    try:
        frames = player.play(Scene(first, driver, more_stills=others))
        next(frames)
        alone, _ = tracemalloc.get_traced_memory()
        for _ in others:
            next(frames)
        together, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One frame's maps of where each pixel comes from take twice a still's four channels.
    assert together - alone < first.nbytes


def test_motion_is_relative_to_the_still_and_not_to_the_further_ones():
    player, _ = animator()
    stills = {"still": _coloured(32, 24, RED), "more_stills": [_coloured(40, 40, GREEN)]}
    frames = list(player.play(Scene(driver=[spot(20, 20), spot(28, 36)], **stills)))
    assert np.abs(frames[0].astype(int) - _coloured(32, 24, RED)).mean() < 1
    assert np.abs(frames[1].astype(int) - _coloured(40, 40, GREEN)).mean() < 1


def test_further_stills_have_the_stills_shape():
    for still, more in ((spot(8, 8), spot(8, 8, size=32)), (None, spot(8, 8))):
        with pytest.raises(ValueError, match="further still 0 has not the shape of the still"):
            Scene(still=still, more_stills=[more])
    with pytest.raises(ValueError, match="further still 0 is not uint8"):
        Scene(still=spot(8, 8), more_stills=[np.zeros((64, 64), np.uint8)])
