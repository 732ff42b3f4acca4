"""Motion tracks: what may be stored, what relative motion means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.errors import BadInput
from edgeanim.runtime.motion import MotionTrack, load_track, relative, save_track

_number = st.floats(-1, 1, width=32)
_K = 4


@st.composite
def motions(draw: st.DrawFn) -> np.ndarray:
    """[K, 6] with affines that have an inverse."""
    centres = draw(hnp.arrays(np.float32, (_K, 2), elements=_number))
    scales = draw(hnp.arrays(np.float32, (_K, 2), elements=st.floats(0.125, 1, width=32)))
    angles = draw(hnp.arrays(np.float32, (_K,), elements=st.floats(-3, 3, width=32)))
    cos, sin = np.cos(angles), np.sin(angles)
    affine = np.stack(
        [cos * scales[:, 0], -sin * scales[:, 1], sin * scales[:, 0], cos * scales[:, 1]], 1
    )
    return np.concatenate([centres, affine], 1).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(still=motions(), first=motions())
def test_a_driver_that_repeats_its_first_frame_leaves_the_still_as_it_is(still, first):
    np.testing.assert_allclose(relative(still, first, first), still, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(first=motions(), now=motions())
def test_a_driver_carried_over_to_its_own_first_frame_gives_its_own_motion(first, now):
    np.testing.assert_allclose(relative(first, now, first), now, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(still=motions(), first=motions(), now=motions())
def test_the_still_turns_and_grows_as_much_as_the_driver_does(still, first, now):
    result = relative(still, now, first)

    def area(motion):
        return np.linalg.det(motion[:, 2:].reshape(-1, 2, 2).astype(np.float64))

    np.testing.assert_allclose(
        area(result) / area(still), area(now) / area(first), rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(
        relative(still, now, first, scale=0.5)[:, :2] - still[:, :2],
        (now[:, :2] - first[:, :2]) / 2,
        atol=1e-6,
    )


@settings(max_examples=40, deadline=None)
@given(motions(), motions(), motions(), st.floats(0, 2))
def test_relative_motion_is_the_papers_equation(still, first, now, scale):
    def affines(motion):
        return motion[:, 2:].reshape(-1, 2, 2).astype(np.float64)

    result = relative(still, now, first, scale=scale)
    expected = affines(now) @ np.linalg.inv(affines(first)) @ affines(still)
    np.testing.assert_allclose(affines(result), expected, rtol=1e-5, atol=1e-5)
    centres = still[:, :2] + scale * (now[:, :2] - first[:, :2])
    np.testing.assert_allclose(result[:, :2], centres, atol=1e-5)


def test_a_region_that_was_a_line_at_first_moves_but_keeps_its_shape():
    still = np.array([[0.1, 0.2, 0.5, 0.0, 0.0, 0.5]], np.float32)
    line = np.array([[0.0, 0.0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    now = np.array([[0.3, 0.0, 0.2, 0.0, 0.0, 0.2]], np.float32)
    np.testing.assert_allclose(
        relative(still, now, line), [[0.4, 0.2, 0.5, 0.0, 0.0, 0.5]], atol=1e-6
    )


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


_BAD_VALUES = {
    "NaN": np.full((2, 3, 6), np.nan, np.float32),
    "infinity": np.full((2, 3, 6), np.inf, np.float32),
    "far away": np.full((2, 3, 6), 1e6, np.float32),
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


@pytest.mark.parametrize("fps", [np.array(0.0), np.array(np.nan), np.array([10.0]), np.array("x")])
def test_a_frame_rate_that_is_none_is_refused(tmp_path: Path, fps: np.ndarray):
    np.savez(tmp_path / "t.npz", values=_track().values, fps=fps)
    with pytest.raises(BadInput):
        load_track(tmp_path / "t.npz")
