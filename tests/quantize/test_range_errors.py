"""The errors of many ranges at once are those of each range, bin by bin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.quantize.ranges.errors import LEVELS, divergences, squared_errors
from edgeanim.quantize.ranges.histogram import BINS, Floats, Histogram

pieces = hnp.arrays(
    np.float32,
    st.integers(1, 400),
    elements=st.floats(-100, 100, width=32, allow_subnormal=False),
)
shares = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4)


def counted(x: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(x)
    return histogram


def squared_error(histogram: Histogram, low: float, high: float) -> float:
    """Every bin rounded to its level, by the definition."""
    step = (high - low) / (LEVELS - 1)
    x = histogram.centres
    rounded = (np.round(x / step) * step).clip(low, high)
    return float(((rounded - x) ** 2 @ histogram.counts) / histogram.width**2)


def divergence(histogram: Histogram, low: float, high: float) -> float:
    """KL(P || Q) of distributions written out bin by bin."""
    counts = histogram.counts.astype(float)
    counts[BINS // 2] -= histogram.zeros
    x = histogram.centres
    first, end = np.searchsorted(x, low), np.searchsorted(x, high)
    inside = counts[first:end]
    if end - first < 2 or not inside.sum():
        return np.inf
    p = inside.copy()
    p[0] += counts[:first].sum()
    p[-1] += counts[end:].sum()
    edges = low + (high - low) / LEVELS * np.arange(LEVELS + 1)
    level = (np.searchsorted(edges, x[first:end], side="right") - 1).clip(0, LEVELS - 1)
    seen = inside > 0
    mass, bins = np.bincount(level, inside, LEVELS), np.bincount(level, seen, LEVELS)
    q = np.where(seen, (mass / np.maximum(bins, 1))[level], 0) / inside.sum()
    p = p / p.sum()
    held = p > 0
    return float((p[held] * np.log(p[held] / np.maximum(q[held], 1e-9))).sum())


def ranges(histogram: Histogram, parts: list[float]) -> tuple[Floats, Floats]:
    """Ranges around zero whose ends are parts of the extremes', symmetric ones among them."""
    low, high = min(0.0, histogram.low), max(0.0, histogram.high)
    ends = [(low * a, high * b) for a in parts for b in parts if low * a < high * b]
    peak = max(-low, high)
    ends += [(-peak * a, peak * a) for a in parts if peak]
    lows, highs = zip(*ends, strict=True) if ends else ((), ())
    return np.array(lows), np.array(highs)


@settings(deadline=None)
@given(pieces, shares)
def test_squared_errors_are_those_of_every_bin(x: np.ndarray, parts: list[float]) -> None:
    histogram = counted(x)
    lows, highs = ranges(histogram, parts)
    want = [squared_error(histogram, *pair) for pair in zip(lows, highs, strict=True)]
    # Bins that lie between two levels to the last digit may go to either, at the same cost.
    np.testing.assert_allclose(squared_errors(histogram, lows, highs), want, rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(pieces, shares)
def test_divergences_are_those_of_every_bin(x: np.ndarray, parts: list[float]) -> None:
    histogram = counted(x)
    lows, highs = ranges(histogram, parts)
    want = [divergence(histogram, *pair) for pair in zip(lows, highs, strict=True)]
    np.testing.assert_allclose(divergences(histogram, lows, highs), want, rtol=1e-6, atol=1e-6)
