"""Motion tracks: what may be stored."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput
from edgeanim.runtime.motion import MotionTrack, load_track, save_track


def _track(frames: int = 5, fps: float = 10.0) -> MotionTrack:
    ramp = np.linspace(-1, 1, frames, dtype=np.float32)
    return MotionTrack(np.repeat(np.repeat(ramp[:, None, None], 3, 1), 6, 2), fps)


def test_a_track_comes_back_from_its_file_bit_by_bit(tmp_path: Path):
    track = _track()
    save_track(tmp_path / "wave.npz", track)
    save_track(tmp_path / "again.npz", track)
    back = load_track(tmp_path / "wave.npz")
    assert back.fps == track.fps
    np.testing.assert_array_equal(back.values, track.values)
    assert (tmp_path / "wave.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_a_track_keeps_the_names_of_its_regions(tmp_path: Path):
    named = MotionTrack(_track().values, 10.0, ("head", "left\narm", "Füße"))
    save_track(tmp_path / "t.npz", named.resampled(20.0))
    assert load_track(tmp_path / "t.npz").regions == named.regions
    save_track(tmp_path / "t.npz", _track())
    assert load_track(tmp_path / "t.npz").regions is None


_NO_NAMES = [np.zeros(3), np.array([255], np.uint8), np.zeros((1, 1), np.uint8)]


@pytest.mark.parametrize("regions", [*_NO_NAMES, np.frombuffer(b"[1]", np.uint8)])
def test_names_of_regions_that_are_none_are_refused(tmp_path: Path, regions: np.ndarray):
    track = _track()
    np.savez(tmp_path / "t.npz", values=track.values, fps=np.array(10.0), regions=regions)
    with pytest.raises(BadInput, match=r"t\.npz: "):
        load_track(tmp_path / "t.npz")


@pytest.mark.parametrize(("fps", "frames"), [(5.0, 3), (10.0, 5), (20.0, 9), (30.0, 13)])
def test_resampling_keeps_the_course_and_the_length(fps: float, frames: int):
    track = _track().resampled(fps)
    assert (len(track), track.fps) == (frames, fps)
    np.testing.assert_allclose(track.values[:, 0, 0], np.linspace(-1, 1, frames), atol=1e-6)


@given(frames=st.integers(1, 60), fps=st.floats(1, 120), to=st.floats(1, 120))
def test_resampling_never_leaves_the_range_of_the_motion(frames: int, fps: float, to: float):
    track = _track(frames, fps).resampled(to)
    assert abs((len(track) - 1) / to - (frames - 1) / fps) <= 1 / to + 1e-3
    assert np.abs(track.values).max() <= 1


@pytest.mark.parametrize("looped", [False, True])
def test_a_slow_motion_does_not_become_one_of_millions_of_frames(looped: bool):
    with pytest.raises(ValueError, match="at 1000 frames/s the track has more than 100000"):
        _track(fps=0.01).resampled(1000.0, looped=looped)


@pytest.mark.parametrize(("fps", "frames"), [(5.0, 4), (10.0, 8), (25.0, 20), (60.0, 48)])
def test_a_loop_keeps_its_time_and_runs_on_where_it_begins_again(fps: float, frames: int):
    turns = np.exp(2j * np.pi * np.arange(8) / 8)
    round_ = MotionTrack(np.float32(turns.real)[:, None, None].repeat(6, 2), 10.0)
    loop = round_.resampled(fps, looped=True)
    assert (len(loop), loop.fps) == (frames, fps)
    steps = np.abs(np.diff(np.concatenate([loop.values, loop.values])[:, 0, 0]))
    assert steps.max() <= 1.001 * np.abs(np.diff(round_.values[:, 0, 0])).max() * 10 / fps


_BAD_VALUES = {
    "NaN": np.full((2, 3, 6), np.nan, np.float32),
    "infinity": np.full((2, 3, 6), np.inf, np.float32),
    "far away": np.full((2, 3, 6), 1001, np.float32),
    "float64": np.zeros((2, 3, 6)),
    "five numbers": np.zeros((2, 3, 5), np.float32),
    "no frames": np.zeros((0, 3, 6), np.float32),
    "no regions": np.zeros((2, 0, 6), np.float32),
    "too many regions": np.zeros((1, 300, 6), np.float32),
}


@pytest.mark.parametrize("values", _BAD_VALUES.values(), ids=_BAD_VALUES.keys())
def test_a_file_that_holds_no_motion_is_refused(tmp_path: Path, values: np.ndarray):
    np.savez(tmp_path / "t.npz", values=values, fps=np.array(10.0))
    with pytest.raises(BadInput, match=r"t\.npz.*not a motion track"):
        load_track(tmp_path / "t.npz")


def test_a_motion_may_lead_far_out_of_the_picture(tmp_path: Path):
    values = np.full((2, 3, 6), -1000, np.float32)
    save_track(tmp_path / "t.npz", MotionTrack(values, 10.0))
    np.testing.assert_array_equal(load_track(tmp_path / "t.npz").values, values)


def test_a_small_file_cannot_unpack_to_more_than_a_track_takes(tmp_path: Path):
    save_track(path := tmp_path / "t.npz", _track())
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 700 << 20)
    path.write_bytes(content)
    with pytest.raises(BadInput, match="unpacks to 700 MiB; the limit is 586"):
        load_track(path)


@pytest.mark.parametrize(
    "fps",
    [np.array(0.0), np.array(1e-320), np.array(np.nan), np.array([10.0]), np.array("x")],
)
def test_a_frame_rate_that_is_none_is_refused(tmp_path: Path, fps: np.ndarray):
    np.savez(tmp_path / "t.npz", values=_track().values, fps=fps)
    with pytest.raises(BadInput):
        load_track(tmp_path / "t.npz")


@pytest.mark.parametrize("fps", [np.array(25), np.array(25, np.uint8), np.array(25, np.float32)])
def test_a_frame_rate_is_any_one_number(tmp_path: Path, fps: np.ndarray):
    np.savez(tmp_path / "t.npz", values=_track().values, fps=fps)
    assert load_track(tmp_path / "t.npz").fps == 25


@pytest.mark.parametrize("frames", [12, 16, 31])
def test_a_track_at_its_own_rate_keeps_its_last_frame(frames: int) -> None:
    """11 * 29.97 / 29.97 is a little less than 11 in floating point."""
    values = np.arange(frames * 6, dtype=np.float32).reshape(frames, 1, 6) / 1000
    again = MotionTrack(values, 29.97).resampled(29.97)
    np.testing.assert_allclose(again.values, values, atol=1e-6)
