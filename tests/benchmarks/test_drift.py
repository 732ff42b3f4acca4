from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeanim.benchmarks.drift.frames import DriftMeter, measure_drift, psnr, ssim
from edgeanim.benchmarks.drift.picture import GAIN, pictures_beside, save_worst, side_by_side
from edgeanim.benchmarks.drift.similarity import ms_ssim
from edgeanim.benchmarks.drift.spread import Series
from edgeanim.core.errors import BadInput
from edgeanim.core.files import inside

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


# Of each scale, the finest first (Wang, Simoncelli and Bovik 2003).
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _ms_ssim_by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two grey pictures, written down again with another library's filters."""
    ndimage = pytest.importorskip("scipy.ndimage")

    def smooth(plane: np.ndarray) -> np.ndarray:
        blurred = ndimage.gaussian_filter(plane, 1.5, radius=5)
        return np.asarray(blurred)[5:-5, 5:-5]

    x, y, product = a.astype(np.float64), b.astype(np.float64), 1.0
    for scale, exponent in enumerate(_EXPONENTS):
        mx, my = smooth(x), smooth(y)
        vx, vy, cov = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
        contrast = (2 * cov + 58.5225) / (vx + vy + 58.5225)
        luminance = (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)
        value = (contrast * luminance if scale == 4 else contrast).mean()
        product *= max(float(value), 0.0) ** exponent
        x, y = (ndimage.uniform_filter(p, 2, origin=-1)[::2, ::2] for p in (x, y))
    return product


def _textured(size: int, seed: int = 0) -> np.ndarray:
    """Smooth texture, uint8 [size, size]."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    stretched: np.ndarray = cv2.normalize(smooth, None, 20, 220, cv2.NORM_MINMAX)
    return stretched.astype(np.uint8)


@pytest.mark.parametrize("noise", [0, 5, 40])
def test_ms_ssim_equals_another_implementation(noise: int) -> None:
    a = _textured(192)
    change = np.random.default_rng(1).integers(-noise, noise + 1, a.shape)
    b = np.clip(a.astype(int) + change, 0, 255).astype(np.uint8)
    whole, deep = ms_ssim(a, b)
    assert whole == pytest.approx(ssim(a, b))
    assert deep == pytest.approx(_ms_ssim_by_scipy(a, b), abs=1e-6)
    assert (deep == pytest.approx(1)) == (noise == 0)


def test_ms_ssim_forgives_fine_noise_more_than_ssim_does() -> None:
    a = np.repeat(_textured(180)[..., None], 3, axis=2)
    noise = np.random.default_rng(1).normal(0, 12, a.shape)
    whole, deep = ms_ssim(a, np.clip(a + noise, 0, 255).astype(np.uint8))
    assert deep is not None
    assert whole < deep < 1


def test_a_negative_is_not_similar_at_all() -> None:
    picture = _textured(192)
    whole, deep = ms_ssim(picture, 255 - picture)
    assert whole < 0
    assert deep == 0


def test_pictures_smaller_than_the_window_are_refused_with_their_size() -> None:
    picture = np.zeros((8, 30, 3), np.uint8)
    with pytest.raises(BadInput, match="11x11 pixels, and these have 30x8") as refused:
        ssim(picture, picture)
    assert "larger pictures" in str(refused.value)


def test_small_pictures_have_no_ms_ssim_and_no_flow() -> None:
    assert ms_ssim(_textured(175), _textured(175))[1] is None
    assert measure_drift(_clip(), _clip()).ms_ssim is None
    for shape in ((40, 31), (31, 40)):
        assert measure_drift(*[np.zeros((2, *shape, 3), np.uint8)] * 2).flow is None
    assert measure_drift(*[np.zeros((2, 32, 32, 3), np.uint8)] * 2).flow is not None


def _moving(speed: int, frames: int = 4) -> np.ndarray:
    """A texture that moves right by `speed` pixels a frame, uint8 [T, 64, 64, 3]."""
    wide = _textured(128)
    clip = [wide[:64, 40 - speed * t : 104 - speed * t] for t in range(frames)]
    return np.stack([np.repeat(frame[..., None], 3, axis=2) for frame in clip])


def test_the_flow_figure_is_the_difference_of_the_motions() -> None:
    assert measure_drift(_moving(2), _moving(2)).flow == measure_drift(_moving(1), _moving(1)).flow
    flow = measure_drift(_moving(3), _moving(1)).flow
    assert flow is not None
    assert flow.mean == pytest.approx(2, abs=0.3)
    assert 1 <= flow.worst_frame <= 3


def test_flicker_counts_only_where_the_original_stands_still() -> None:
    reference = _moving(0)
    reference[:, :, 32:] = _moving(2)[:, :, 32:]
    still, moving = reference.copy(), reference.copy()
    still[2, :, :32] += np.uint8(10)
    moving[2, :, 32:] += np.uint8(10)
    flicker = measure_drift(still, reference).flicker
    assert flicker is not None
    # Frame 2 is brighter by 10, so the steps into and out of it are off by 10, the first is not.
    # A few pixels of the moving half happen to stand still, too.
    assert flicker.mean == pytest.approx(20 / 3, rel=0.15)
    assert flicker.worst == pytest.approx(10, rel=0.15)
    assert flicker.worst_frame in (2, 3)
    elsewhere = measure_drift(moving, reference).flicker
    assert elsewhere is not None
    assert elsewhere.worst < 2


@pytest.mark.parametrize(
    ("still", "change", "tells"), [(5, 1, False), (6, 1, True), (6, 2, False), (576, 1, True)]
)
def test_a_hundredth_of_the_pixels_must_stand_still_within_a_level_for_flicker_to_be_told(
    still: int, change: int, tells: bool
) -> None:
    """Of 576 pixels, 6 are more than a hundredth and 5 are less."""
    frames = np.full((2, 576, 3), 100, np.uint8)
    frames[1] += np.uint8(50)
    frames[1, :still] = 100 + change
    clip = frames.reshape(2, 24, 24, 3)
    assert (measure_drift(clip, clip).flicker is not None) == tells


def test_every_spread_names_its_own_worst_frame() -> None:
    reference = np.repeat(_moving(0), 3, axis=0)
    frames = reference.copy()
    frames[4] -= np.uint8(15)
    frames[7, 10:30] = 128
    drift = measure_drift(frames, reference)
    assert drift.brightness is not None
    assert drift.brightness.worst == pytest.approx(-15)
    assert drift.brightness.worst_frame == 4
    assert drift.worst_frame == 7
    assert drift.psnr is not None
    assert drift.psnr.worst_frame == 7
    assert drift.psnr.worst == min(drift.psnr.worst, drift.psnr.tail, drift.psnr.mean)
    assert drift.temporal is not None
    assert drift.temporal.worst_frame in (4, 5)
    assert drift.temporal.mean == drift.temporal_ssim
    assert drift.temporal_error is not None
    assert drift.temporal_error.mean == drift.temporal_l1


def test_the_tail_of_a_similarity_is_its_5th_percentile() -> None:
    rng = np.random.default_rng(7)
    clip = rng.integers(0, 200, (12, 16, 16, 3)).astype(np.uint8)
    noise = rng.integers(0, 50, clip.shape) * np.linspace(0, 1, 12)[:, None, None, None]
    drift = measure_drift((clip + noise).astype(np.uint8), clip)
    assert drift.ssim_p5 == pytest.approx(np.percentile(drift.ssim, 5))
    assert drift.ssim_worst < drift.ssim_p5 < np.percentile(drift.ssim, 9)


def test_the_tail_of_an_error_is_the_95th_percentile_of_its_size() -> None:
    series = Series()
    for frame, value in enumerate((3.0, -1.0, 2.0, -8.0, 0.0)):
        series.add(value, frame)
    spread = series.error()
    assert spread is not None
    assert spread.tail == pytest.approx(np.percentile([3, 1, 2, 8, 0], 95))
    assert (spread.worst, spread.worst_frame, spread.mean) == (-8, 3, pytest.approx(-0.8))


def test_the_differences_of_frames_span_twice_the_levels() -> None:
    reference, frames = _moving(2, 2), _moving(3, 2)
    steps = [np.diff(clip.astype(np.int16), axis=0)[0] for clip in (frames, reference)]
    drift = measure_drift(frames, reference)
    assert drift.temporal_ssim == pytest.approx(_reference(*steps, 510), abs=1e-6)


def test_frames_on_both_sides_of_a_gap_are_no_step() -> None:
    reference, frames = _moving(0), _moving(0)
    frames[2:] += np.uint8(10)
    meter = DriftMeter()
    for number in (0, 1):
        meter.add(frames[number], reference[number])
    meter.skip()
    for number in (2, 3):
        meter.add(frames[number], reference[number])
    drift = meter.result()
    assert drift.temporal_l1 == 0
    assert drift.temporal_error is not None
    assert drift.brightness_bias == pytest.approx(5)


@given(st.integers(1, 6), st.integers(0, 30))
@settings(max_examples=10, deadline=None)
def test_a_meter_fed_frame_by_frame_finds_what_the_whole_clip_shows(count: int, noise: int) -> None:
    reference = _clip(frames=count)
    frames = reference + np.random.default_rng(1).integers(0, noise + 1, reference.shape, np.uint8)
    meter = DriftMeter()
    for pair in zip(frames, reference, strict=True):
        meter.add(*pair)
    assert meter.result() == measure_drift(frames, reference)


def test_the_worst_frame_is_saved_beside_the_report(tmp_path: Path) -> None:
    import cv2

    reference, frames = _moving(0), _moving(0)
    frames[2, 5, 6] += np.uint8(3)
    folder = pictures_beside(tmp_path / "report.json")
    name = save_worst(folder, 1, "mine:../x", frames, reference, 2)
    assert name == "report-frames/1-mine_.._x-worst-2.png"
    picture = cv2.imread(str(tmp_path / name))[:, :, ::-1]
    np.testing.assert_array_equal(picture, side_by_side(reference[2], frames[2]))
    np.testing.assert_array_equal(picture[:, :64], reference[2])
    np.testing.assert_array_equal(picture[:, 68:132], frames[2])
    assert set(np.unique(picture[:, 136:])) == {128, 128 + 3 * GAIN}


def test_a_report_that_is_not_called_in_utf8_can_name_its_pictures(tmp_path: Path) -> None:
    report = tmp_path / os.fsdecode(b"r\xff.json")
    assert pictures_beside(report) == tmp_path / "r?-frames"


@pytest.mark.parametrize("name", ["at 12:30.json", "a\\b.json"])
def test_a_report_of_any_name_finds_its_pictures(name: str, tmp_path: Path) -> None:
    """Reports are often named by the time; such a one could not be made into a page."""
    pictures = pictures_beside(tmp_path / name)
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    saved = save_worst(pictures, 1, "a", frames, frames, 0)
    assert inside(tmp_path, saved).is_file()
