from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeanim.benchmarks.drift import measure_drift, psnr, ssim
from edgeanim.core.errors import BadInput

metrics = pytest.importorskip("skimage.metrics")


@st.composite
def picture_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 pictures, grey or colour: unrelated ones, and one with noise added."""
    size = draw(st.tuples(st.integers(11, 40), st.integers(11, 40)))
    shape = draw(st.sampled_from([size, (*size, 3), (*size, 4)]))
    a = draw(arrays(np.uint8, shape, elements=st.integers(0, 255)))
    if draw(st.booleans()):
        noise = np.random.default_rng(draw(st.integers(0, 99))).integers(-9, 10, shape)
        return a, np.clip(a.astype(int) + noise, 0, 255).astype(np.uint8)
    return a, np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, np.uint8)


def _reference(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    return float(
        metrics.structural_similarity(
            a.astype(np.float64),
            b.astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2 if a.ndim == 3 else None,
        )
    )


@settings(max_examples=60, deadline=None)
@given(picture_pairs())
def test_ssim_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    assert ssim(a, b) == pytest.approx(_reference(a, b, 255), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(picture_pairs())
def test_ssim_of_differences_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (picture.astype(np.int16) - 128 for picture in pair)
    assert ssim(a, b, data_range=510) == pytest.approx(_reference(a, b, 510), abs=1e-6)


def test_ssim_on_real_frames_equals_scikit_image(media: object) -> None:
    import cv2

    capture = cv2.VideoCapture(str(media / "clips_asl" / "milk.mkv"))  # type: ignore[operator]
    one, other = capture.read()[1], capture.read()[1]
    assert 0.5 < ssim(one, other) < 1
    assert ssim(one, other) == pytest.approx(_reference(one, other, 255), abs=1e-6)


def test_pictures_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot be compared"):
        ssim(np.zeros((20, 20)), np.zeros((20, 21)))
    with pytest.raises(BadInput, match="11x11"):
        ssim(np.zeros((10, 20)), np.zeros((10, 20)))


def _clip(seed: int = 0, frames: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 200, (frames, 24, 20, 3)).astype(np.uint8)


def test_identical_clips_do_not_drift() -> None:
    drift = measure_drift(_clip(), _clip())
    assert drift.ssim_mean == drift.ssim_p5 == drift.ssim_worst == pytest.approx(1)
    assert drift.drift_mean == pytest.approx(0)
    assert drift.psnr_db is None
    assert drift.brightness_bias == drift.temporal_l1 == 0
    assert drift.temporal_ssim == pytest.approx(1)


def test_the_worst_frame_is_named() -> None:
    frames = _clip()
    frames[3] = 255 - frames[3]
    drift = measure_drift(frames, _clip())
    assert drift.worst_frame == 3
    assert drift.ssim_worst == min(drift.ssim) == drift.ssim[3]
    assert drift.ssim_worst <= drift.ssim_p5 <= drift.ssim_mean < 1
    assert drift.drift_mean == 1 - drift.ssim_mean


def test_a_constant_offset_is_bias_but_no_flicker() -> None:
    drift = measure_drift(_clip() - np.uint8(6), _clip())
    assert drift.brightness_bias == pytest.approx(-6)
    assert drift.temporal_l1 == 0
    assert drift.temporal_ssim == pytest.approx(1)
    assert drift.psnr_db == pytest.approx(psnr(36))
    assert drift.psnr_db == pytest.approx(32.57, abs=0.01)


def test_flicker_shows_in_the_temporal_figures() -> None:
    frames = _clip()
    frames[::2] += np.uint8(8)
    drift = measure_drift(frames, _clip())
    assert drift.temporal_l1 == pytest.approx(8)
    assert drift.temporal_ssim is not None
    assert drift.temporal_ssim < 1


def test_one_frame_has_no_temporal_figures() -> None:
    drift = measure_drift(_clip(frames=1), _clip(frames=1))
    assert drift.temporal_ssim is None
    assert drift.temporal_l1 is None


@pytest.mark.parametrize("shape", [(4, 24, 20, 3), (5, 24, 21, 3), (24, 20, 3), (0, 24, 20, 3)])
def test_clips_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    frames = np.zeros(shape, np.uint8)
    with pytest.raises(BadInput):
        measure_drift(frames, frames if shape[0] == 0 else _clip())
