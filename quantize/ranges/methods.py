"""Ranges of activations: four ways to cut a range out of a tensor's histogram.

Every scheme hands the ranges found here to its quantiser, so that `percentile`, say, means the same
for each backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edgeanim.core.errors import BadInput
from edgeanim.core.recipe import Ranges
from edgeanim.quantize.ranges.errors import divergences, squared_errors
from edgeanim.quantize.ranges.histogram import BINS, Floats, Histogram, Histograms

# Each tail beyond this share of all values is clipped by `percentile`.
OUTLIERS = 1e-4
# Steps of the search for the least error, and the smallest part of the extremes that it tries.
_STEPS = 64
_SMALLEST = 0.1
_ROUNDS = {"mse": 2, "entropy": 1}


@dataclass(frozen=True)
class TensorRange:
    """Lowest and highest value to represent (zero always among them), and the bound of a symmetric
    range around zero, by the same criterion."""

    low: float
    high: float
    bound: float

    def __post_init__(self) -> None:
        if not self.low <= 0 <= self.high or self.bound < 0:
            raise ValueError("a range must hold zero")


def ranges_in(
    histograms: Histograms, method: Ranges, names: Iterable[str]
) -> dict[str, TensorRange]:
    """The ranges of the tensors `names` by `method`; `BadInput` if one was never seen."""
    found = {}
    for name in names:
        if name not in histograms:
            raise BadInput(
                f"The quantiser asks for the range of {name!r}, a tensor that the float graph "
                "does not have.",
                hint="Keep the nodes around it in float with --keep-float.",
            )
        found[name] = find_range(histograms[name], method)
    return found


def find_range(histogram: Histogram, method: Ranges) -> TensorRange:
    """The range that `method` cuts out of `histogram`.

    `minmax` is exact. `percentile` leaves out `OUTLIERS` of all values on each side. `mse` has the
    least mean squared error of 8-bit quantisation; `entropy` the least Kullback-Leibler divergence
    of the quantised distribution (Migacz, "8-bit inference with TensorRT", 2017).
    """
    low, high = min(0.0, histogram.low), max(0.0, histogram.high)
    if method == "minmax" or low == high:
        return TensorRange(low, high, max(-low, high))
    if method == "percentile":
        low, high = max(low, _tail(histogram, 1)), min(high, _tail(histogram, -1))
        low, high = min(0.0, low), max(0.0, high)
        return TensorRange(low, high, max(-low, high))
    error = squared_errors if method == "mse" else divergences
    shares = np.linspace(_SMALLEST, 1.0, _STEPS)
    bounds = shares * max(-low, high)
    bound = _least(error, histogram, -bounds, bounds)[1]
    if low < 0 < high:  # each end in turn: the tails may differ
        for _ in range(_ROUNDS[method]):
            high = _least(error, histogram, np.full(_STEPS, low), shares * histogram.high)[1]
            low = _least(error, histogram, shares * histogram.low, np.full(_STEPS, high))[0]
    else:
        low, high = _least(error, histogram, shares * low, shares * high)
    return TensorRange(low, high, bound)


def _least(
    error: Callable[[Histogram, Floats, Floats], Floats],
    histogram: Histogram,
    lows: Floats,
    highs: Floats,
) -> tuple[float, float]:
    best = int(np.argmin(error(histogram, lows, highs)))
    return float(lows[best]), float(highs[best])


def _tail(histogram: Histogram, direction: int) -> float:
    """The outer edge of the bin in which `OUTLIERS` of all values have been passed."""
    counts = histogram.counts[::direction]
    place = int(np.searchsorted(counts.cumsum(), OUTLIERS * counts.sum(), side="right"))
    edge = float((place - BINS // 2) * histogram.width)
    return edge if direction > 0 else -edge
