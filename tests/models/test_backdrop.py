"""What lies behind a character is told from what of the still shows none of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.models.nets.backdrop import backdrop_of
from edgeanim.models.nets.generator import without_tint
from edgeanim.models.regions import COUNT

SIDE = 128


def scene(wall, shirt, box, side=SIDE):
    """A still with a character of one colour in `box` (top, bottom, left, right, at stride 4)
    before a wall [3, side, side], and its exact masks."""
    top, bottom, left, right = box
    still = wall.clone()
    still[:, 4 * top : 4 * bottom, 4 * left : 4 * right] = shirt
    mask = torch.zeros(1, COUNT, side // 4, side // 4)
    mask[0, 2, top:bottom, left:right] = 1
    return still[None], mask


def flat(colour, side=SIDE):
    return torch.tensor(colour).view(3, 1, 1).expand(3, side, side)


colours = st.tuples(*[st.floats(0, 1, width=32)] * 3)
boxes = st.tuples(*[st.integers(2, 14), st.integers(16, 29)] * 2)


@given(colours, colours, boxes)
def test_behind_a_character_a_flat_wall_goes_on(wall, shirt, box):
    still, mask = scene(flat(wall), torch.tensor(shirt).view(3, 1, 1), box)
    made = backdrop_of(still, mask)
    # The mean of the whole picture, the shirt in it, has a little say.
    assert (made - flat(wall, 32)).abs().max() < 0.02


def test_neither_an_outline_nor_a_mask_that_is_not_quite_sure_colours_the_wall():
    wall, shirt = flat((0.2, 0.4, 0.6)), torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
    still, mask = scene(wall, shirt, (8, 24, 12, 20))
    _, inner = scene(wall, shirt, (10, 22, 14, 18))  # the shirt goes on by two cells
    shared = mask / 2 + mask.roll(1, dims=1) / 2  # two regions claim one half each
    for told in (inner, 0.9 * mask, shared):
        assert (backdrop_of(still, told) - flat((0.2, 0.4, 0.6), 32)).abs().max() < 0.03


def test_a_shade_across_the_wall_goes_on_behind_the_character():
    shade = torch.linspace(0.2, 0.8, SIDE).expand(3, SIDE, SIDE)
    still, mask = scene(shade, torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1), (8, 24, 12, 20))
    made = backdrop_of(still, mask)
    wanted = torch.nn.functional.avg_pool2d(shade[None], 4)
    assert (made - wanted).abs().max() < 0.06


def test_where_nothing_covers_the_still_the_backdrop_is_the_still():
    still = torch.rand(1, 3, 64, 96)
    made = backdrop_of(still, torch.zeros(1, COUNT, 16, 24))
    torch.testing.assert_close(made, torch.nn.functional.avg_pool2d(still, 4), atol=0.02, rtol=0)


def test_of_a_character_that_fills_the_picture_the_mean_is_all_there_is():
    still = torch.rand(1, 3, 64, 64)
    mask = torch.zeros(1, COUNT, 16, 16)
    mask[:, 0] = 1
    made = backdrop_of(still, mask)
    torch.testing.assert_close(made, still.mean((2, 3), keepdim=True).expand_as(made))


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (192, 256)])
@given(seed=st.integers(0, 2**16))
def test_a_backdrop_of_anything_lies_between_the_colours_of_the_still(size, seed):
    rng = np.random.default_rng(seed)
    still = torch.from_numpy(rng.random((1, 3, *size), np.float32))
    share = rng.random((1, COUNT, size[0] // 4, size[1] // 4), np.float32) ** rng.integers(1, 40)
    mask = torch.from_numpy(share / max(1, float(share.sum(1).max())))
    made = backdrop_of(still, mask)
    assert made.shape == (1, 3, size[0] // 4, size[1] // 4)
    low, high = still.amin((2, 3), keepdim=True), still.amax((2, 3), keepdim=True)
    assert bool((made >= low - 1e-5).all() & (made <= high + 1e-5).all())


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (1, 3, 2, 2), elements=st.floats(-1, 1, width=32)))
def test_a_colour_that_is_nearly_the_backdrops_is_the_backdrops_as_a_whole(values):
    given = torch.from_numpy(values).requires_grad_()
    made = without_tint(given)
    made.sum().backward()
    shrunk = np.sign(values) * np.maximum(np.abs(values) - 0.12, 0)
    largest = np.abs(shrunk).max(1, keepdims=True)
    found, tolerance = made.detach().numpy(), 0.01
    near, far = (
        (largest < 20 / 255) & (found != 0),
        (largest > 41 / 255) & (np.abs(found - shrunk) > tolerance),
    )
    assert not near.any(), "20 levels above the threshold in no channel: none in any"
    assert not far.any(), "40 in one: all channels as they are"
    assert (np.abs(found) <= np.abs(shrunk) + 1e-6).all()
    assert (given.grad == 1).all(), "what is none yet can grow"
