"""What it costs to round a histogram's values to the levels of a range, for many ranges at once.

Within a level everything is constant but sums over its bins, and those are differences of running
totals: the cost does not grow with the number of bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.quantize.ranges.histogram import BINS, Floats, Histogram

LEVELS = 256
# Q of a bin to which rounding gives nothing.
_NEXT_TO_NOTHING = 1e-9

_Edges = NDArray[np.int64]
"""Places [N, levels + 1]: level i of a range has the bins from edge i to before edge i + 1."""


def squared_errors(histogram: Histogram, lows: Floats, highs: Floats) -> Floats:
    """The sum [N] of squared errors, in widths of a bin, of rounding to `LEVELS` levels, zero among
    them, and of clipping, for the ranges from `lows` [N] to `highs` [N]."""
    low, high = lows[:, None] / histogram.width, highs[:, None] / histogram.width
    step = (high - low) / (LEVELS - 1)
    numbers = np.floor(low / step) + np.arange(LEVELS + 2)
    edges = _edges((numbers - 0.5) * step)
    edges[:, [0, -1]] = 0, BINS  # the outermost levels stand for all that is clipped to them
    values = (numbers[:, :-1] * step).clip(low, high)
    x = np.arange(BINS) - BINS // 2 + 0.5
    total, first, second = (
        _sums(edges, histogram.counts * power) for power in (np.ones(BINS), x, x * x)
    )
    errors: Floats = (second - 2 * values * first + values**2 * total).sum(1)
    return errors


def divergences(histogram: Histogram, lows: Floats, highs: Floats) -> Floats:
    """The Kullback-Leibler divergence KL(P || Q) [N] for the ranges from `lows` [N] to `highs` [N]:
    P are the values clipped to the range, Q those inside it, spread evenly over the filled bins of
    each of `LEVELS` levels. Infinite for ranges of less than two bins and for such as hold nothing.
    """
    counts = histogram.counts.astype(np.float64)
    # What zero itself weighs is the same in both and would drown all else after a ReLU.
    counts[BINS // 2] = max(0.0, counts[BINS // 2] - histogram.zeros)
    low, high = lows[:, None] / histogram.width, highs[:, None] / histogram.width
    edges = _edges(low + (high - low) / LEVELS * np.arange(LEVELS + 1))
    first, end = edges[:, 0], edges[:, -1]
    mass, filled = _sums(edges, counts), _sums(edges, counts > 0)
    inside, whole = mass.sum(1), counts.sum()
    q = mass / np.maximum(filled, 1) / np.maximum(inside, 1)[:, None]
    log_q = np.log(np.maximum(q, _NEXT_TO_NOTHING))
    running = _cumulative(counts)
    own = np.diff(_cumulative(_x_log_x(counts))[edges[:, [0, -1]]])[:, 0]
    cross = (mass * log_q).sum(1)
    for place, clipped in ((first, running[first]), (end - 1, whole - running[end])):
        place = place.clip(0, BINS - 1)
        # Where nothing was, clipping fills a bin of P and none of Q.
        there = np.where(counts[place] > 0, _at(place, edges, log_q), np.log(_NEXT_TO_NOTHING))
        own += _x_log_x(counts[place] + clipped) - _x_log_x(counts[place])
        cross += clipped * there
    found: Floats = (own - cross) / max(whole, 1.0) - np.log(max(whole, 1.0))
    return np.where((end - first < 2) | (inside == 0), np.inf, found)


def _edges(bounds: Floats) -> _Edges:
    """How many bins have their middle below each of `bounds`, in widths of a bin."""
    edges: _Edges = np.ceil(bounds + BINS // 2 - 0.5).clip(0, BINS).astype(np.int64)
    return edges


def _cumulative(values: NDArray[Any]) -> Floats:
    """Totals [BINS + 1] of the values before each place."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _sums(edges: _Edges, values: NDArray[Any]) -> Floats:
    """The sums [N, levels] of `values` [BINS] over each level's bins."""
    return np.diff(_cumulative(values)[edges])


def _at(place: _Edges, edges: _Edges, of_levels: Floats) -> Floats:
    """What `of_levels` [N, levels] says of the level to which bin `place` [N] belongs."""
    level = (edges[:, 1:] <= place[:, None]).sum(1).clip(0, LEVELS - 1)
    found: Floats = of_levels[np.arange(len(level)), level]
    return found


def _x_log_x(x: Floats) -> Floats:
    product: Floats = x * np.log(np.where(x > 0, x, 1.0))
    return product
