"""The two-level bootstrap of a percentile: processes are drawn, and samples within each.

All resamples are drawn at once, as rows of one array: a comparison of many reports is thousands of
such bootstraps. The same samples give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
# So many values are drawn and sorted at a time, half a megabyte: a processor's cache holds them.
_BLOCK = 1 << 16

Floats = NDArray[np.float64]


def sample_groups(processes: Sequence[Sequence[float]]) -> list[Floats]:
    """The samples of each process that has any; `ValueError` if none has, or one is not above 0."""
    groups = [np.asarray(samples, dtype=np.float64) for samples in processes if len(samples)]
    if not groups:
        raise ValueError("an interval needs samples")
    if any((group <= 0).any() for group in groups):
        raise ValueError("a latency is positive")
    return groups


def resampled_percentiles(
    groups: Sequence[Floats], percent: float, *, resamples: int = RESAMPLES, stream: int = 0
) -> Floats:
    """The percentile (linear between order statistics) of each of so many resamples.

    Processes are drawn with replacement, then samples within each drawn process (Davison and
    Hinkley 1997, section 3.8). Two variants are independent only if drawn from unlike `stream`s.
    """
    rng = np.random.default_rng(stream)
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    found = [_percentiles(*rows, percent) for rows in _sorted_rows(groups, drawn, rng)]
    return np.concatenate(found)


def _sorted_rows(
    groups: Sequence[Floats], drawn: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """Resamples in ascending order, a row each and infinite behind its end, with their sizes;
    `drawn` [resample, process] are the groups that they are made of."""
    sizes = np.array([group.size for group in groups])
    starts = np.cumsum(sizes) - sizes
    samples, longest = np.concatenate(groups), int(sizes.max())
    count = max(1, _BLOCK // (len(groups) * longest))
    for first in range(0, len(drawn), count):
        block = drawn[first : first + count, :, None]
        within = (rng.random((*block.shape[:2], longest)) * sizes[block]).astype(np.int64)
        values = samples[starts[block] + within]
        if len(set(sizes)) > 1:
            values[np.arange(longest) >= sizes[block]] = np.inf
        yield np.sort(values.reshape(len(block), -1), axis=1), sizes[block].sum(axis=(1, 2))


def _percentiles(rows: Floats, sizes: NDArray[np.int64], percent: float) -> Floats:
    at = (sizes - 1) * (percent / 100)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, sizes - 1)
    every = np.arange(len(rows))
    low, high = rows[every, below], rows[every, above]
    return np.asarray(low + (at - below) * (high - low))
