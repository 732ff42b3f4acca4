"""Statistics of latency samples: percentiles that refuse too few, intervals over processes.

Samples come as one list per process, since processes are the unit that repeats: memory layout,
clock state and neighbours differ from one to the next far more than within one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgeanim.benchmarks.timing.bootstrap import (
    RESAMPLES,
    Floats,
    resampled_percentiles,
    sample_groups,
)

CONFIDENCE = 0.99
LEVEL = 0.95
_MIN_BEYOND = 2
_STEADY_SAMPLES = 30
_STEADY_MARGIN = 0.05
_NORMAL = 1.960
# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
# How many standard errors away a difference must be for Student's test at 5 % to find it in 19 of
# 20 repetitions: the noncentrality at which its power is 0.95, for the same degrees of freedom.
_POWER = (24.98, 7.77, 5.65, 4.93, 4.57, 4.37, 4.23, 4.14, 4.07, 4.01)
_POWER_NORMAL = 3.605


@dataclass(frozen=True)
class Interval:
    """A confidence interval at the level `LEVEL`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("the lower end lies above the upper one")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Ratio:
    """A ratio of two latencies with its interval.

    `detectable` is the smallest true difference (a share: 0.05 is 5 %) that such a comparison finds
    in 19 of 20 repetitions. A verdict of no difference says nothing about smaller ones.
    """

    value: float
    interval: Interval
    detectable: float

    @property
    def verdict(self) -> str:
        """`higher`, `lower` or `no difference`, by whether the interval leaves out 1."""
        if self.interval.low > 1:
            return "higher"
        return "lower" if self.interval.high < 1 else "no difference"

    @property
    def times(self) -> str:
        """See `as_times`."""
        return as_times(self.value, self.interval)


def as_times(ratio: float, interval: Interval) -> str:
    """A ratio with its interval, as `1.73x (1.70 to 1.76)`."""
    return f"{ratio:.2f}x ({interval.low:.2f} to {interval.high:.2f})"


@cache
def minimum_samples(percent: float) -> int:
    """How many samples the `percent`-th percentile needs.

    MLPerf's early stopping: with confidence 0.99 at least two samples lie beyond the percentile,
    so the smallest n with P(Binomial(n, 1 - p) <= 1) <= 0.01: 11 for p50, 64 for p90, 130 for
    p95, 662 for p99, 6636 for p99.9.
    """
    if not 50 <= percent < 100:
        raise ValueError("a latency percentile lies in 50..100")
    tail = 1 - percent / 100
    count = _MIN_BEYOND
    while (1 - tail) ** count + count * tail * (1 - tail) ** (count - 1) > 1 - CONFIDENCE:
        count += 1
    return count


def percentile(samples: Sequence[float] | Floats, percent: float) -> float | None:
    """The percentile (linear between order statistics), or `None` from too few samples."""
    values = np.asarray(samples, dtype=np.float64)
    if values.size < minimum_samples(percent):
        return None
    return float(np.percentile(values, percent))


def median(samples: Sequence[float] | Floats) -> float:
    """The median of at least one sample."""
    return float(np.median(np.asarray(samples, dtype=np.float64)))


def mann_whitney(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> float:
    """The two-sided p-value of Mann and Whitney's test that neither of two samples tends to be
    larger: normal approximation with corrections for ties and continuity (Lehmann 1975, 1.3)."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not x.size or not y.size:
        raise ValueError("the test needs two samples")
    values, inverse, ties = np.unique(
        np.concatenate([x, y]), return_inverse=True, return_counts=True
    )
    if len(values) == 1:
        return 1.0
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse.ravel()]
    n, m, total = x.size, y.size, x.size + y.size
    u = ranks[:n].sum() - n * (n + 1) / 2
    spread = n * m / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(spread)
    return math.erfc(z / math.sqrt(2))


def is_steady(processes: Sequence[Sequence[float]]) -> bool | None:
    """Whether the warm-up was long enough: `False` if in most processes the first fifth of the
    samples is slower than the second half, by more than chance and by more than a few percent.
    `None` from too few samples to tell."""
    told = [process for process in processes if len(process) >= _STEADY_SAMPLES]
    if not told:
        return None
    return sum(map(_starts_slowly, told)) <= len(told) / 2


def _starts_slowly(samples: Sequence[float]) -> bool:
    first, rest = samples[: len(samples) // 5], samples[len(samples) // 2 :]
    slower = median(first) > (1 + _STEADY_MARGIN) * median(rest)
    return slower and mann_whitney(first, rest) < 1 - CONFIDENCE


def bootstrap_interval(
    processes: Sequence[Sequence[float]], percent: float, *, resamples: int = RESAMPLES
) -> Interval:
    """The interval of a percentile by a two-level bootstrap over processes.

    A bootstrap over a handful of processes is too narrow, so it is expanded by Student's t about
    the estimate (Hesterberg 2015, section 5.3), on a log scale. The same data give the same
    interval.
    """
    groups = sample_groups(processes)
    logs = np.log(resampled_percentiles(groups, percent, resamples=resamples))
    return _interval(logs, np.log(np.percentile(np.concatenate(groups), percent)), len(groups))


def percentile_interval(processes: Sequence[Sequence[float]], percent: float) -> Interval | None:
    """The interval of a percentile, or `None` where the percentile itself is refused."""
    if sum(map(len, processes)) < minimum_samples(percent):
        return None
    return bootstrap_interval(processes, percent)


def paired_ratio(
    numerator: Sequence[Sequence[Sequence[float]]],
    denominator: Sequence[Sequence[Sequence[float]]],
    *,
    resamples: int = RESAMPLES,
) -> Ratio:
    """Ratio of the latencies of two *interleaved* variants: `[process][block][sample]` each.

    Block k of process i of both ran side by side, so the ratio of their medians is free of
    whatever slowed the machine at that time. The value is the median of those ratios; the interval
    is bootstrapped over processes and blocks.
    """
    ratios = _block_ratios(numerator, denominator)
    interval = bootstrap_interval(ratios, 50, resamples=resamples)
    value = paired_value(numerator, denominator)
    return Ratio(value, interval, detectable_difference(interval, len(ratios)))


def paired_value(
    numerator: Sequence[Sequence[Sequence[float]]], denominator: Sequence[Sequence[Sequence[float]]]
) -> float:
    """The value of `paired_ratio` without its interval, which takes longer."""
    ratios = _block_ratios(numerator, denominator)
    return median([ratio for process in ratios for ratio in process])


@dataclass(frozen=True)
class ResampledMedian:
    """The median of the latencies of so many `processes`, and the logarithm of that of each of its
    resamples."""

    value: float
    logs: Floats
    processes: int


def resampled_median(processes: Sequence[Sequence[float]], *, stream: int) -> ResampledMedian:
    """What `ratio_of_medians` needs of a variant, `[process][sample]`; the `stream`s of the two
    must differ."""
    groups = sample_groups(processes)
    logs = np.log(resampled_percentiles(groups, 50, stream=stream))
    return ResampledMedian(median(np.concatenate(groups)), logs, len(groups))


def ratio_of_medians(numerator: ResampledMedian, denominator: ResampledMedian) -> Ratio:
    """Ratio of the median latencies of two variants that ran at different times."""
    value = numerator.value / denominator.value
    processes = min(numerator.processes, denominator.processes)
    interval = _interval(numerator.logs - denominator.logs, math.log(value), processes)
    return Ratio(value, interval, detectable_difference(interval, processes))


def independent_ratio(
    numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]]
) -> Ratio:
    """The same from the samples of both, `[process][sample]` each."""
    return ratio_of_medians(
        resampled_median(numerator, stream=0), resampled_median(denominator, stream=1)
    )


def detectable_difference(interval: Interval, processes: int) -> float:
    """The smallest true difference, as a share, that a comparison over so many processes with an
    interval of this width tells from none in 19 of 20 repetitions.

    The interval's half width, on a log scale, is Student's t times the standard error; Student's
    test has a power of 0.95 where the difference is the noncentrality of `_POWER` times the
    standard error (Cohen 1988, section 2.2; the standard error counts as estimated, not known).
    """
    half = (math.log(interval.high) - math.log(interval.low)) / 2
    student, power = _quantiles(processes)
    return math.expm1(half / student * power)


def detectable_change(interval: Interval, processes: int) -> float:
    """The same between two runs of which each states its own `interval` like this one: the
    standard error of their ratio is larger by the square root of two."""
    middle = math.sqrt(interval.low * interval.high)
    half = math.sqrt(2) * math.log(interval.high / middle)
    both = Interval(math.exp(-half), math.exp(half))
    return detectable_difference(both, processes)


def _block_ratios(
    numerator: Sequence[Sequence[Sequence[float]]], denominator: Sequence[Sequence[Sequence[float]]]
) -> list[list[float]]:
    return [
        [median(a) / median(b) for a, b in zip(above, below, strict=False)]
        for above, below in zip(numerator, denominator, strict=False)
    ]


def _interval(logs: Floats, centre: float, processes: int) -> Interval:
    """Percentile interval of bootstrapped logarithms, expanded about `centre`, as plain values."""
    low, high = np.percentile(logs, [50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL)])
    low, high = min(low, centre), max(high, centre)
    wider = _expansion(processes)
    return Interval(
        float(np.exp(centre + wider * (low - centre))),
        float(np.exp(centre + wider * (high - centre))),
    )


def _expansion(processes: int) -> float:
    """By how much a bootstrap over so many processes is too narrow; unknowable from one."""
    if processes == 1:
        return 1.0
    student, _ = _quantiles(processes)
    return student / _NORMAL * math.sqrt(processes / (processes - 1))


def _quantiles(processes: int) -> tuple[float, float]:
    """Student's t and the noncentrality of a power of 0.95; those of the normal distribution for
    one process, of which nothing else can be known.

    Behind the tables both approach the normal distribution's, as the first terms of a series in the
    inverse of the degrees of freedom (Abramowitz and Stegun 1964, 26.7.5; fitted for the power).
    """
    degrees = processes - 1
    if degrees == 0:
        return _NORMAL, _POWER_NORMAL
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1], _POWER[degrees - 1]
    first = (_NORMAL**3 + _NORMAL) / 4
    second = (5 * _NORMAL**5 + 16 * _NORMAL**3 + 3 * _NORMAL) / 96
    return _NORMAL + first / degrees + second / degrees**2, _POWER_NORMAL + 4.05 / degrees
