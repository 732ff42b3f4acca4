"""The warp against two references: plain NumPy, and torch's grid_sample where torch is there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeanim.runtime.pictures import Fit
from edgeanim.runtime.warp import Compositor

# Levels by which the warp of white noise, the hardest picture, may differ from its definition.
# OpenCV 4 rounds positions to 1/32 pixel, up to 1/64 of a jump of 255 levels in x and in y.
_LEVELS = 1 if int(cv2.__version__.split(".")[0]) >= 5 else 9


def warp(still: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return Compositor(still).warp(flow)


def compose(still: np.ndarray, *maps: np.ndarray, fit: Fit | None = None) -> np.ndarray:
    return Compositor(still, fit).compose(*maps)


def _resize(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, half-pixel centres, border repeated: align_corners=False."""
    values = values.astype(np.float64)
    for axis, wanted in enumerate(size):
        have = values.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * have / wanted - 0.5, 0, have - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, have - 1)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def _reference(still: np.ndarray, flow: np.ndarray) -> np.ndarray:
    rows, columns = still.shape[:2]
    flow = _resize(flow, (rows, columns))
    y, x = np.mgrid[0:rows, 0:columns]
    u = (2 * x + 1) / columns - 1 + flow[..., 0]
    v = (2 * y + 1) / rows - 1 + flow[..., 1]
    xs = np.clip(((u + 1) * columns - 1) / 2, 0, columns - 1)
    ys = np.clip(((v + 1) * rows - 1) / 2, 0, rows - 1)
    x0, y0 = np.floor(xs).astype(int), np.floor(ys).astype(int)
    x1, y1 = np.minimum(x0 + 1, columns - 1), np.minimum(y0 + 1, rows - 1)
    fx, fy = (xs - x0)[..., None], (ys - y0)[..., None]
    image = still.astype(np.float64)
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    return top * (1 - fy) + (image[y1, x0] * (1 - fx) + image[y1, x1] * fx) * fy


def _case(seed: int, size: tuple[int, int], flow_size: tuple[int, int], strength: float):
    rng = np.random.default_rng(seed)
    still = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    flow = rng.normal(0, strength, (*flow_size, 2)).astype(np.float32)
    return still, flow


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    flow_size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    strength=st.sampled_from([0.0, 0.02, 0.3, 3.0]),
)
def test_the_warp_equals_the_definition_within_a_level(seed, size, flow_size, strength):
    still, flow = _case(seed, size, flow_size, strength)
    assert np.abs(warp(still, flow) - _reference(still, flow)).max() <= _LEVELS


@pytest.mark.parametrize("size", [(64, 64), (45, 61), (128, 32)])
def test_the_warp_equals_grid_sample_within_a_level(size):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    still, flow = _case(3, size, (16, 16), 0.2)
    image = torch.from_numpy(still).permute(2, 0, 1)[None].float()
    offsets = torch.from_numpy(flow).permute(2, 0, 1)[None]
    offsets = functional.interpolate(offsets, size, mode="bilinear", align_corners=False)
    identity = functional.affine_grid(torch.eye(2, 3)[None], (1, 3, *size), align_corners=False)
    expected = functional.grid_sample(
        image,
        identity + offsets.permute(0, 2, 3, 1),
        padding_mode="border",
        align_corners=False,
    )
    expected = expected[0].permute(1, 2, 0).numpy()
    assert np.abs(warp(still, flow) - expected).max() <= _LEVELS
    # Coordinates in float32 differ in their last bits, times a jump of up to 255 levels.
    assert np.abs(warp(still.astype(np.float32), flow) - expected).max() < 0.05 * _LEVELS**2


def test_no_flow_gives_the_still_back_bit_by_bit(pictures):
    np.testing.assert_array_equal(warp(pictures[0], np.zeros((8, 8, 2), np.float32)), pictures[0])


def test_half_a_picture_of_flow_shifts_by_half_a_picture_to_the_left_and_up(pictures):
    flow = np.ones((4, 4, 2), np.float32)
    shifted = warp(pictures[0], flow)
    np.testing.assert_array_equal(shifted[:32, :32], pictures[0][32:, 32:])
    np.testing.assert_array_equal(
        shifted[32:, 32:], np.broadcast_to(pictures[0][-1, -1], (32, 32, 3))
    )


def test_absurd_flow_repeats_the_border_and_crashes_nothing(pictures):
    flow = np.full((4, 4, 2), 1e30, np.float32)
    assert (warp(pictures[0], flow) == pictures[0][-1, -1]).all()
    assert (warp(pictures[0], -flow) == pictures[0][0, 0]).all()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    map_size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    strength=st.sampled_from([0.0, 0.02, 0.3, 3.0]),
)
@example(seed=5, size=(300, 200), map_size=(48, 48), strength=0.1)  # several bands of rows
@example(seed=5, size=(48, 64), map_size=(48, 64), strength=0.1)  # nothing to resize
def test_composing_equals_its_formula_within_rounding(seed, size, map_size, strength):
    still, flow = _case(seed, size, map_size, strength)
    rng = np.random.default_rng(seed)
    alpha = rng.normal(0.5, 0.5, map_size).astype(np.float32)  # not all of it in 0..1
    colour = rng.integers(0, 256, (*map_size, 3), dtype=np.uint8)
    got = compose(still, flow, alpha, colour)
    share = _resize(np.clip(alpha, 0, 1), size)[..., None]
    expected = share * _reference(still, flow) + (1 - share) * _resize(colour, size)
    # Half a level each for the rounding of the colour and of the result, and one for that of
    # alpha: twice half of 1/256, over a jump of 255 levels.
    assert np.abs(got - expected).max() <= _LEVELS + 2
    if got.size > 3000:  # fewer do not average out
        assert np.abs(got - expected).mean() < 0.5 * _LEVELS


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 256), st.floats(-0.45, 0.45))
def test_a_blend_is_the_nearest_level_by_the_nearest_share(seed, share, off):
    rng = np.random.default_rng(seed)
    still, colour = rng.integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    alpha = np.full((9, 7), (share + off) / 256, np.float32)
    got = compose(still, np.zeros((9, 7, 2), np.float32), alpha, colour)
    exact = (still * float(share) + colour * (256.0 - share)) / 256
    assert np.abs(got - exact).max() <= 0.5


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_where_nothing_is_filled_in_the_warp_shows_bit_by_bit(pictures, layout):
    _, flow = _case(9, (64, 64), (16, 12), 0.1)
    if layout == "NCHW":  # a view, as the player has it
        flow = np.ascontiguousarray(flow.transpose(2, 0, 1)).transpose(1, 2, 0)
    alpha, colour = np.ones((16, 12), np.float32), np.zeros((16, 12, 3), np.uint8)
    got = compose(pictures[0], flow, alpha, colour)
    np.testing.assert_array_equal(got, warp(pictures[0], np.ascontiguousarray(flow)))


@pytest.mark.parametrize("size", [(40, 64), (64, 40), (37, 64)])
def test_under_a_letterbox_a_flow_means_the_same_on_the_still_as_on_the_canvas(size):
    """Warping the padded canvas and cutting the still out is the definition."""
    still, flow = _case(6, size, (16, 16), 0.1)
    fit = Fit.of(size, (32, 32))
    rows, columns = fit.window
    padding = [
        (rows.start, fit.canvas[0] - rows.stop),
        (columns.start, fit.canvas[1] - columns.stop),
        (0, 0),
    ]
    canvas = np.pad(still, padding, mode="edge")
    expected = _reference(canvas, flow)[fit.window]
    assert np.abs(Compositor(still, fit).warp(flow) - expected).max() <= _LEVELS


@pytest.mark.parametrize("size", [(40, 64), (64, 40), (37, 64)])
def test_under_a_letterbox_a_fill_lies_where_it_does_on_the_canvas(size):
    still, flow = _case(7, size, (16, 16), 0.0)
    fit = Fit.of(size, (32, 32))
    rng = np.random.default_rng(7)
    colour = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    got = compose(still, flow, np.zeros((16, 16), np.float32), colour, fit=fit)
    assert np.abs(got - _resize(colour, fit.canvas)[fit.window]).max() <= 1


def test_with_cover_only_the_part_that_is_seen_comes_out(pictures):
    wide = np.concatenate([pictures[0], pictures[1]], axis=1)
    fit = Fit.of((64, 128), (32, 32), "cover")
    out = Compositor(wide, fit).warp(np.zeros((8, 8, 2), np.float32))
    np.testing.assert_array_equal(out, wide[:, 32:96])


def test_transparency_moves_with_the_flow_and_hidden_colours_never_show():
    still = np.zeros((16, 16, 4), np.uint8)
    still[..., :3] = (0, 255, 0)  # hidden under full transparency
    still[4:12, 4:12] = (200, 0, 0, 255)
    flow = np.full((4, 4, 2), 3 / 16, np.float32)  # 1.5 pixels
    out = warp(still, flow)
    assert out.shape == still.shape
    assert (out[..., 3] > 0).sum() > 64
    assert (out[out[..., 3] > 0][:, :3] == (200, 0, 0)).all()
    filled = compose(
        still, flow, np.full((4, 4), 0.5, np.float32), np.full((4, 4, 3), 100, np.uint8)
    )
    np.testing.assert_array_equal(filled[..., 3], out[..., 3])
    assert (filled[6, 6, :3] == (150, 50, 50)).all()


@given(
    st.floats(0, 1, width=32),
    st.tuples(*[st.integers(0, 255)] * 3),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_on_white_a_transparent_still_looks_as_if_it_had_been_opaque(share, shown, fill):
    still = np.empty((8, 8, 4), np.uint8)
    still[..., :3], still[..., 3] = shown, 255
    still[0, 0, 3] = 0
    maps = np.zeros((2, 2, 2), np.float32), np.full((2, 2), share, np.float32)
    out = compose(still, *maps, np.full((2, 2, 3), fill, np.uint8))[4, 4].astype(float)
    on_white = out[:3] * out[3] / 255 + 255 - out[3]
    expected = share * np.array(shown) + (1 - share) * np.array(fill)
    assert np.abs(on_white - expected).max() <= 2


def test_where_nothing_is_filled_in_a_transparent_still_has_a_hole_and_no_white_paint():
    still = np.full((8, 8, 4), (200, 0, 0, 255), np.uint8)
    still[0, 0, 3] = 0
    flow, share = np.zeros((2, 2, 2), np.float32), np.full((2, 2), 0.25, np.float32)
    white = compose(still, flow, share, np.full((2, 2, 3), 255, np.uint8))
    np.testing.assert_array_equal(white[4, 4], (200, 0, 0, 64))
    brown = compose(still, flow, share, np.full((2, 2, 3), (100, 60, 20), np.uint8))
    np.testing.assert_array_equal(brown[4, 4], (125, 45, 15, 255))


@pytest.mark.parametrize(("grey", "opacity"), [(255, 0), (223, 128), (191, 255), (128, 255)])
def test_a_fill_fades_within_a_quarter_of_white_and_is_opaque_further_from_it(grey, opacity):
    still = np.full((8, 8, 4), (200, 0, 0, 255), np.uint8)
    still[0, 0, 3] = 0
    nothing = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2), np.float32)
    frame = compose(still, *nothing, np.full((2, 2, 3), grey, np.uint8))
    assert abs(int(frame[4, 4, 3]) - opacity) <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_a_frame_stays_as_it_is_when_the_next_is_made(channels):
    still, flow = _case(8, (32, 32), (8, 8), 0.1)
    still = np.concatenate([still, still[:, :, : channels - 3]], axis=2)
    alpha, colour = np.full((8, 8), 0.5, np.float32), still[::4, ::4, :3]
    compositor = Compositor(still)
    for made in (compositor.warp, lambda flow: compositor.compose(flow, alpha, colour)):
        first = made(flow)
        before = first.copy()
        assert (made(-flow) != before).any()
        np.testing.assert_array_equal(first, before)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 4]))
def test_stills_that_share_memory_are_composed_as_each_by_itself(seed, channels):
    rng = np.random.default_rng(seed)
    stills = rng.integers(0, 256, (2, 20, 30, channels), dtype=np.uint8)
    fit = Fit.of((20, 30), (16, 16))
    first = Compositor(stills[0], fit)
    together = first, first.beside(stills[1])
    for turn in (0, 1, 1, 0):
        flow = rng.normal(0, 0.2, (8, 8, 2)).astype(np.float32)
        alpha = rng.random((8, 8), np.float32)
        colour = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        expected = Compositor(stills[turn], fit).compose(flow, alpha, colour)
        np.testing.assert_array_equal(together[turn].compose(flow, alpha, colour), expected)
