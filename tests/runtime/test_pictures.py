"""Fitting pictures to graphs and back: nothing shifted, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.runtime.execution import Shown
from edgeanim.runtime.pictures import (
    Fit,
    flatten,
    from_tensor,
    mixed,
    no_larger,
    scaled,
    to_tensor,
)

_sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))
_graphs = st.tuples(st.integers(1, 128), st.integers(1, 128))


def _spec(layout: str, value_range=(0.0, 1.0), channels: int = 3, role: str = "still"):
    shape = (1, channels, 8, 6) if layout == "NCHW" else (1, 8, 6, channels)
    return TensorSpec("x", role, shape, layout, range=value_range)


@given(picture=_sizes, graph=_graphs, rule=st.sampled_from(["letterbox", "cover"]))
def test_the_canvas_has_the_graphs_proportions_and_holds_what_it_promises(picture, graph, rule):
    fit = Fit.of(picture, graph, rule)
    rows, columns = fit.canvas
    # Equal proportions up to the rounding of one side to whole pixels.
    assert abs(rows * graph[1] - columns * graph[0]) <= max(graph)
    if rule == "letterbox":
        assert rows >= picture[0]
        assert columns >= picture[1]
    else:
        assert rows <= picture[0]
        assert columns <= picture[1]
    for part, place in zip(fit.shown, fit.window, strict=True):
        assert part.stop - part.start == place.stop - place.start >= 1
    assert all(p.stop <= size for p, size in zip(fit.shown, picture, strict=True))
    assert all(w.stop <= size for w, size in zip(fit.window, fit.canvas, strict=True))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_every_level_survives_the_way_into_a_tensor_and_back(layout, value_range):
    picture = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    picture[0, 0] = (0, 255, 128)
    spec = _spec(layout, value_range)
    tensor = to_tensor(picture, spec)
    assert (tensor.shape, tensor.dtype) == (spec.shape, np.float32)
    assert tensor.min() == value_range[0]
    assert tensor.max() == pytest.approx(value_range[1])
    np.testing.assert_array_equal(from_tensor(tensor, spec), picture)


def test_values_beyond_the_range_are_clipped_and_nan_is_refused():
    spec = _spec("NCHW")
    tensor = np.full(spec.shape, 7.0, np.float32)
    assert (from_tensor(tensor, spec) == 255).all()
    assert (from_tensor(-tensor, spec) == 0).all()
    tensor[0, 0, 0, 0] = np.nan
    with pytest.raises(BadInput, match="'x' holds NaN"):
        from_tensor(tensor, spec)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_cue_is_the_difference_of_the_frames_in_their_own_range(pictures, layout, channels):
    now, before = pictures[0][:8, :6], pictures[1][:8, :6]
    spec = _spec(layout, (-2.0, 2.0), channels=channels, role="cue")
    frames = _spec(layout, (-1.0, 1.0), channels=channels)
    shown = Shown(now, Shown(before))
    cue = shown.cue(spec, (-1.0, 1.0))
    expected = to_tensor(now, frames).astype(float) - to_tensor(before, frames)
    np.testing.assert_allclose(cue, expected, atol=1e-6)
    same = Shown(now, Shown(now.copy()))
    assert not same.cue(spec, (0.0, 1.0)).any()
    assert not Shown(now).cue(spec, (0.0, 1.0)).any()


def test_grey_models_see_luma_and_give_three_equal_channels():
    spec = _spec("NHWC", channels=1)
    for colour, luma in enumerate((0.299, 0.587, 0.114)):
        picture = np.zeros((8, 6, 3), np.uint8)
        picture[..., colour] = 255
        tensor = to_tensor(picture, spec)
        assert tensor.shape == spec.shape
        np.testing.assert_allclose(tensor, luma, atol=1e-6)
        made = from_tensor(tensor, spec)
        assert made.shape == (8, 6, 3)
        assert (made == round(255 * luma)).all()


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_graph_that_takes_rgba_sees_an_opaque_picture_and_may_give_rgba(layout, value_range):
    spec = _spec(layout, value_range, channels=4)
    picture = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    back = from_tensor(to_tensor(picture, spec), spec)
    np.testing.assert_array_equal(back[..., :3], picture)
    assert (back[..., 3] == 255).all()


@pytest.mark.parametrize("size", [(640, 640), (512, 512), (500, 500), (513, 513), (1280, 1280)])
def test_shrinking_averages_instead_of_dropping_pixels(size):
    """Stripes one pixel wide become an even grey; dropped pixels would leave a pattern."""
    stripes = np.zeros((*size, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Fit.of(size, (128, 128)).to_graph(stripes, (128, 128))
    assert np.abs(small[:, 1:-1].astype(int) - 127).max() <= 40
    assert abs(small.mean() - 127.5) < 2


def test_a_picture_without_a_stated_range_is_refused_with_the_remedy():
    with pytest.raises(BadInput, match=r"no value range.*model\.toml"):
        to_tensor(np.zeros((8, 6, 3), np.uint8), _spec("NCHW", None))


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (64, 48), (33, 64), (200, 100)])
def test_the_way_to_the_graph_and_back_keeps_every_place(size):
    """A ramp in x and y names every place: after the round trip it must be where it was."""
    rows, columns = size
    ramp = np.zeros((*size, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, columns).round()
    ramp[..., 1] = np.linspace(0, 255, rows).round()[:, None]
    fit = Fit.of(size, (32, 32))
    back = fit.from_graph(fit.to_graph(ramp, (32, 32)))
    for axis, channel in ((1, 0), (0, 1)):
        line = back[..., channel].mean(axis=1 - axis)
        expected = (np.arange(len(line)) + 0.5) / len(line) * 255
        assert np.abs(line[1:-1] - expected[1:-1]).max() < 255 / len(line)
        # No bias either way: a half-pixel shift would be seen here.
        assert abs(line[1:-1].mean() - expected[1:-1].mean()) < 255 / len(line) / 3


def test_letterbox_repeats_the_edge_and_cover_cuts_it_off(pictures):
    wide = np.concatenate([pictures[0], pictures[1]], axis=1)
    boxed = Fit.of((64, 128), (64, 64)).to_graph(wide, (64, 64))
    np.testing.assert_array_equal(boxed[0], boxed[15])
    np.testing.assert_array_equal(boxed[-1], boxed[-16])
    cut = Fit.of((64, 128), (64, 64), "cover").to_graph(wide, (64, 64))
    np.testing.assert_array_equal(cut, wide[:, 32:96])


def test_transparent_parts_are_shown_on_white():
    picture = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    np.testing.assert_array_equal(
        flatten(picture), [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    )


def test_a_still_that_shrinks_keeps_hidden_colours_hidden():
    sprite = np.zeros((80, 64, 4), np.uint8)
    sprite[10:45, 9:41] = [240, 200, 160, 255]  # its edges lie within pixels of the small one
    for size in (40, 33, 7):
        small = no_larger(sprite, size)
        assert small.shape == (size, round(64 * size / 80), 4)
        seen = small[:, :, 3] > 8
        assert 0.15 < small[:, :, 3].mean() / 255 < 0.3
        np.testing.assert_allclose(
            small[seen][:, :3], np.broadcast_to([240, 200, 160], (seen.sum(), 3)), atol=1
        )
    np.testing.assert_array_equal(no_larger(sprite, 80), sprite)
    line = no_larger(np.zeros((1, 900, 3), np.uint8), 64)
    assert line.shape == (1, 64, 3)


def test_what_is_half_transparent_is_mixed_to_the_nearest_level():
    colours, alphas = np.mgrid[0:256, 0:256].astype(np.uint8)
    picture = np.stack([colours, colours, colours, alphas], -1)
    exact = 255 + (colours - 255.0) * alphas / 255
    assert np.abs(flatten(picture) - exact[..., None]).max() <= 0.5


@pytest.mark.parametrize("size", [(500, 90), (90, 500)])
def test_a_picture_that_shrinks_along_one_side_alone_is_averaged_there(size):
    """Stripes across that side, one pixel wide, become an even grey."""
    stripes = np.zeros((*size, 3), np.uint8)
    across = stripes if size[0] > size[1] else stripes.transpose(1, 0, 2)
    across[::2] = 255
    small = scaled(stripes, (90, 90))
    assert np.abs(small.astype(int) - 127).max() <= 40
    assert abs(small.mean() - 127.5) < 2


def test_absurd_proportions_are_refused_before_memory_is_asked_for():
    with pytest.raises(BadInput, match="too large or too narrow"):
        Fit.of((1, 30_000), (64, 64))


def test_of_a_picture_narrower_than_a_pixel_of_the_graph_a_column_is_left():
    fit = Fit.of((1000, 1), (8, 8))
    assert fit.from_graph(np.zeros((8, 8, 3), np.uint8)).shape == (8, 1, 3)


@pytest.mark.parametrize("size", [(4000, 6000), (6000, 4000)])
def test_pictures_of_24_megapixels_are_animated(size: tuple[int, int]) -> None:
    assert Fit.of(size, (256, 256)).canvas == (6000, 6000)


_levels = st.integers(0, 255)


@given(st.tuples(*[_levels] * 8), st.sampled_from([0.25, 0.5, 0.75]))
def test_pictures_are_mixed_as_they_look_on_any_ground(levels, share):
    one, other = (np.uint8(part).reshape(1, 1, 4) for part in (levels[:4], levels[4:]))
    plain = mixed(one[:, :, :3], other[:, :, :3], share)
    expected = one[:, :, :3] * share + other[:, :, :3] * (1 - share)
    assert np.abs(plain - expected).max() <= 0.5
    made = mixed(one, other, share)
    for ground in (0, 255):
        looks = [
            part[:, :, :3] * (part[:, :, 3:] / 255) + ground * (1 - part[:, :, 3:] / 255)
            for part in (one, other, made)
        ]
        assert np.abs(looks[2] - looks[0] * share - looks[1] * (1 - share)).max() <= 1.01
