"""Ranges of activations: one streaming histogram a tensor, and four ways to cut a range out of it.

Every scheme hands the ranges found here to its quantiser, so that `percentile`, say, means the same
for each backend. A histogram takes the same memory whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput
from edgeanim.core.files import canonical_json, write_text
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.core.recipe import RANGES, Ranges

RANGES_FILE = "ranges.json"
BINS = 8192
LEVELS = 256
# Each tail beyond this share of all values is clipped by `percentile`.
OUTLIERS = 1e-4
# Values counted of one tensor of one sample; its extremes are always those of all its values.
VALUES_PER_SAMPLE = 1 << 17
# Steps of the search for the least error, and the smallest part of the extremes that it tries.
_STEPS = 64
_SMALLEST = 0.1
_ROUNDS = {"mse": 2, "entropy": 1}

Floats = NDArray[np.float64]


class Histogram:
    """Counts of a stream of values in `BINS` bins of equal width, zero on an edge in the middle.

    The width is a power of two and doubles as values grow, two bins becoming one, so the order of
    the samples makes no difference.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.counts = np.zeros(BINS, np.int64)
        self.zeros = 0
        self._width: float | None = None

    def add(self, values: Array) -> None:
        """Count `values`: all of them, or evenly spread ones where there are too many."""
        flat = values.reshape(-1)
        if not flat.size:
            return
        self.low = min(self.low, float(flat.min()))
        self.high = max(self.high, float(flat.max()))
        if not np.isfinite((self.low, self.high)).all():
            raise BadInput("The float graph itself gives NaN or infinity.")
        self._widen(max(-self.low, self.high))
        # An odd stride walks through all columns and channels, whose numbers are mostly even.
        stride = max(1, flat.size // VALUES_PER_SAMPLE) | 1 if flat.size > VALUES_PER_SAMPLE else 1
        picked = flat[::stride].astype(np.float64)
        self.zeros += int(picked.size - np.count_nonzero(picked))
        places = np.floor(picked / self.width).astype(np.int64) + BINS // 2
        self.counts += np.bincount(places.clip(0, BINS - 1), minlength=BINS)

    @property
    def width(self) -> float:
        """The width of a bin."""
        return self._width or 1.0

    @property
    def centres(self) -> Floats:
        """The middle of each bin."""
        middles: Floats = (np.arange(BINS, dtype=np.float64) - BINS // 2 + 0.5) * self.width
        return middles

    @property
    def filled(self) -> tuple[Floats, Floats]:
        """Counts and middles of the bins that hold anything."""
        held = self.counts > 0
        return self.counts[held].astype(np.float64), self.centres[held]

    def _widen(self, peak: float) -> None:
        """Make the bins reach `peak`."""
        tiny = float(np.finfo(np.float32).tiny)
        needed = 2.0 ** np.ceil(np.log2(max(peak, tiny) / (BINS // 2)))
        if self._width is None:
            self._width = needed
        while self._width < needed:
            middle = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.pad(middle, BINS // 4)
            self._width *= 2


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


RangeTable = Mapping[str, Mapping[str, TensorRange]]
"""Tensor name to method of `RANGES` to range."""


@dataclass(frozen=True)
class _Stored:
    tensors: Mapping[str, Mapping[str, TensorRange]]


def tabulate(histograms: Mapping[str, Histogram]) -> RangeTable:
    """The ranges of every tensor by every method."""
    return {
        name: {method: find_range(histogram, method) for method in RANGES}
        for name, histogram in histograms.items()
    }


def save_ranges(table: RangeTable, folder: Path) -> None:
    """Write the table into `folder`."""
    write_text(folder / RANGES_FILE, canonical_json(to_plain(_Stored(table))))


def load_ranges(folder: Path) -> RangeTable:
    """Read what `save_ranges` wrote, strictly."""
    path = folder / RANGES_FILE
    return parse(_Stored, load_json(path), where=path).tensors


def pick(table: RangeTable, method: Ranges, names: Iterable[str]) -> dict[str, TensorRange]:
    """The ranges of the tensors `names` by `method`; `BadInput` if one was never seen."""
    chosen = {}
    for name in names:
        if name not in table:
            raise BadInput(
                f"The quantiser asks for the range of {name!r}, a tensor that the float graph "
                "does not have.",
                hint="Keep the nodes around it in float with --keep-float.",
            )
        chosen[name] = table[name][method]
    return chosen


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
    error = _squared_errors if method == "mse" else _divergences
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


def _squared_errors(histogram: Histogram, lows: Floats, highs: Floats) -> Floats:
    """For each range, the sum of squared errors of rounding to `LEVELS` levels and of clipping."""
    counts, x = histogram.filled
    steps = ((highs - lows) / (LEVELS - 1))[:, None]
    rounded = (np.round(x / steps) * steps).clip(lows[:, None], highs[:, None])
    errors: Floats = ((rounded - x) ** 2) @ counts
    return errors


def _divergences(histogram: Histogram, lows: Floats, highs: Floats) -> Floats:
    """For each range, KL(P || Q) of the clipped distribution P and its quantised form Q."""
    # What zero itself weighs is the same in both and would drown all else after a ReLU.
    counts = histogram.counts.astype(np.float64)
    counts[BINS // 2] = max(0.0, counts[BINS // 2] - histogram.zeros)
    # Half as many bins are enough for 256 levels, and this is slow.
    halved: Floats = counts.reshape(-1, 2).sum(1)
    x: Floats = histogram.centres.reshape(-1, 2).mean(1)
    pairs = zip(lows, highs, strict=True)
    return np.array([_divergence(halved, x, *pair) for pair in pairs])


def _divergence(counts: Floats, x: Floats, low: float, high: float) -> float:
    first, last = np.searchsorted(x, low), np.searchsorted(x, high, side="right")
    if last - first < 2:
        return float(np.inf)
    inside = counts[first:last]
    clipped = inside.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    level = ((x[first:last] - low) / (high - low) * LEVELS).astype(int).clip(0, LEVELS - 1)
    seen = inside > 0
    mass = np.bincount(level, inside, LEVELS)
    width = np.bincount(level, seen, LEVELS)
    spread = np.where(seen, (mass / np.maximum(width, 1))[level], 0.0)
    if not spread.sum():
        return float(np.inf)
    p, q = clipped / clipped.sum(), spread / spread.sum()
    filled = p > 0
    return float(np.sum(p[filled] * np.log(p[filled] / np.maximum(q[filled], 1e-9))))
