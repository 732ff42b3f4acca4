"""Pictures are bent smoothly, never folded, and places are found again in them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.models.data.bending import random_bend

SIDES = st.integers(16, 200)
SEEDS = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIDES, SIDES, st.floats(0, 0.02), st.floats(0, 0.15))
def test_no_picture_folds(seed, width, height, bend, stretch):
    rng = np.random.default_rng(seed)
    sources = random_bend(rng, (width, height), bend * min(width, height), stretch).sources
    assert sources.shape == (height, width, 2)
    along_x, along_y = np.diff(sources, axis=1)[:-1], np.diff(sources, axis=0)[:, :-1]
    area = along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0]
    assert (area > 0).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIDES, SIDES, st.floats(0, 1), st.floats(0, 1))
def test_a_place_is_found_where_the_bent_picture_shows_it(seed, width, height, right, down):
    rng = np.random.default_rng(seed)
    bend = random_bend(rng, (width, height), 0.02 * min(width, height), 0.15)
    low = bend.sources.max((0, 1)) * 0.25
    high = np.minimum(bend.sources[-1, -1], (width - 1, height - 1)) * 0.75
    place = low + np.array([right, down]) * (high - low)
    x, y = bend.point(place)
    # A picture of its own coordinates tells where a pixel comes from.
    around = bend.sources[int(y) : int(y) + 2, int(x) : int(x) + 2].reshape(-1, 2)
    assert np.abs(around - place).min(0).max() < 2
    assert (around.min(0) - 0.01 <= place).all()
    assert (place <= around.max(0) + 0.01).all()


def test_what_is_not_bent_is_the_same():
    picture = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    bend = random_bend(np.random.default_rng(2), (40, 30), 0, 0)
    np.testing.assert_array_equal(bend.bent(picture), picture)
    np.testing.assert_array_equal(bend.point(np.array([12.25, 7.5])), [12.25, 7.5])
