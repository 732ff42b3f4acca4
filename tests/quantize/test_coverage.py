from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.quantize.calibration.coverage import frame_features, k_center, thin

points = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.floats(-10, 10, width=32)
)


def radius(features: np.ndarray, chosen: tuple[int, ...] | np.ndarray) -> float:
    """How far the farthest point is from its nearest chosen one."""
    gaps = features[:, None] - features[np.array(chosen)][None]
    return float(np.sqrt((gaps**2).sum(-1)).min(1).max())


@settings(deadline=None)
@given(points, st.integers(1, 4))
def test_no_point_is_farther_than_twice_the_best_choice(features: np.ndarray, count: int) -> None:
    chosen = k_center(features, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(features))
    best = min(
        radius(features, c) for c in itertools.combinations(range(len(features)), len(chosen))
    )
    assert radius(features, chosen) <= 2 * best + 1e-9


def test_the_one_bright_and_the_one_fast_frame_are_chosen() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(90, 110, (40, 60, 3), dtype=np.uint8)
    frames = [still + rng.integers(0, 3, still.shape, dtype=np.uint8) for _ in range(200)]
    frames[77] = np.full_like(still, 240)
    frames[140] = np.roll(still, 30, 1) // 3
    chosen = k_center(frame_features(frames), 5).tolist()
    assert {77, 140} <= set(chosen)


def test_of_equal_pictures_the_one_that_something_has_just_left_is_chosen_too() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(90, 110, (40, 60, 3), dtype=np.uint8)
    frames = [still] * 20
    frames[12] = 2 * still
    assert {12, 13} <= set(k_center(frame_features(frames), 3).tolist())


def test_of_one_choice_it_is_the_one_nearest_the_mean() -> None:
    assert k_center(np.array([[0.0], [1.0], [10.0]]), 1).tolist() == [1]


def test_a_frame_of_another_contrast_alone_is_chosen() -> None:
    """Its thumbnail and its brightness are those of the others."""
    board = np.indices((60, 60)).sum(0)[..., None] % 2 * np.ones(3, int)
    flat, rough = (np.uint8(128 + amount * (2 * board - 1)) for amount in (1, 90))
    assert 9 in k_center(frame_features([*[flat] * 9, rough, *[flat] * 9]), 2)


def test_no_feature_outweighs_the_others_and_transparency_is_none() -> None:
    rng = np.random.default_rng(0)
    dark, noise, bright = (np.full((4, 30, 30, 3), level, np.uint8) for level in (0, 128, 255))
    noise[:] = rng.integers(0, 2, noise.shape) * 255
    frames = np.concatenate([dark, noise, bright])
    features = frame_features(frames)
    assert np.ptp(features, 0).max() <= 4
    clear = np.concatenate([frames, np.zeros_like(frames[..., :1])], axis=-1)
    np.testing.assert_array_equal(frame_features(clear), features)


def test_copies_still_make_up_the_number() -> None:
    assert k_center(np.zeros((7, 3)), 4).tolist() == [0, 1, 2, 3]


@given(st.integers(0, 300), st.integers(1, 20))
def test_a_stream_of_any_length_is_thinned_evenly(length: int, limit: int) -> None:
    kept = thin(range(length), limit)
    assert len(kept) == min(length, limit)
    gaps = np.diff(kept)
    if len(gaps):
        assert kept[0] == 0
        assert 0 < max(gaps) <= 2 * min(gaps)
        assert length - 1 - kept[-1] < min(gaps) + 1


def test_a_stream_is_thinned_as_it_comes() -> None:
    """A clip of hours does not fit the memory."""

    class Frame:
        pass

    alive: weakref.WeakSet[Frame] = weakref.WeakSet()

    def stream() -> Iterator[Frame]:
        for _ in range(500):
            alive.add(frame := Frame())
            yield frame
            assert len(alive) <= 2 * 8 + 1

    assert len(thin(stream(), 8)) == 8
