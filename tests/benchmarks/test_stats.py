from __future__ import annotations

import tracemalloc
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.timing.bootstrap import resampled_percentiles
from edgeanim.benchmarks.timing.stats import (
    Interval,
    Ratio,
    _interval,
    _quantiles,
    bootstrap_interval,
    detectable_change,
    detectable_difference,
    independent_ratio,
    is_steady,
    mann_whitney,
    median,
    minimum_samples,
    paired_ratio,
    paired_value,
    percentile,
    percentile_interval,
)

latencies = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("percent", "count"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636)]
)
def test_minimum_counts_are_those_of_mlperf(percent: float, count: int) -> None:
    assert minimum_samples(percent) == count
    assert percentile([1.0] * (count - 1), percent) is None
    assert percentile([1.0] * count, percent) == 1


def test_a_percentile_outside_the_upper_half_is_refused() -> None:
    with pytest.raises(ValueError, match="percentile"):
        minimum_samples(10)


@given(st.lists(st.floats(0.01, 1e4), min_size=64, max_size=200))
def test_percentiles_are_ordered_and_within_the_samples(samples: list[float]) -> None:
    p50, p90 = percentile(samples, 50), percentile(samples, 90)
    assert p50 is not None
    assert p90 is not None
    assert min(samples) <= p50 <= p90 <= max(samples)


@given(st.lists(latencies, min_size=1, max_size=5))
def test_an_interval_holds_its_estimate(processes: list[list[float]]) -> None:
    interval = bootstrap_interval(processes, 50, resamples=50)
    value = median([t for process in processes for t in process])
    assert interval.low <= value * (1 + 1e-9)
    assert interval.high >= value * (1 - 1e-9)


@given(latencies, st.floats(0.1, 10))
def test_ratios_scale_with_the_times(samples: list[float], factor: float) -> None:
    slow, fast = [[samples]] * 3, [[[factor * t for t in samples]]] * 3
    ratio = paired_ratio(slow, fast, resamples=20)
    assert ratio.value == pytest.approx(1 / factor)
    assert ratio.interval.low == pytest.approx(1 / factor)


def test_a_ratio_is_the_median_over_blocks_of_that_of_their_medians() -> None:
    """Neither the best frames nor one disturbed block decide."""
    above = [[[1.0, 2.0, 9.0], [8.0, 90.0, 90.0]], [[3.0, 6.0, 7.0]]]
    below = [[[1.0, 4.0, 4.0], [1.0, 1.0, 1.0]], [[6.0, 8.0, 20.0]]]
    assert paired_value(above, below) == 6 / 8
    assert paired_ratio(above, below, resamples=20).value == 6 / 8


def test_the_same_data_give_the_same_interval() -> None:
    processes = np.random.default_rng(0).gamma(9, 1, (3, 40)).tolist()
    assert percentile_interval(processes, 90) == percentile_interval(processes, 90)


def test_a_percentile_that_is_refused_has_no_interval() -> None:
    assert percentile_interval([[1.0] * 20, [1.0] * 20], 90) is None


def test_an_interval_needs_positive_samples() -> None:
    with pytest.raises(ValueError, match="needs samples"):
        bootstrap_interval([[], []], 50)
    with pytest.raises(ValueError, match="positive"):
        bootstrap_interval([[1.0, 0.0]], 50)
    with pytest.raises(ValueError, match="above"):
        Interval(2, 1)


def _trial(rng: np.random.Generator, factor: float, *, process_sd: float) -> Ratio:
    """Three rounds of two interleaved variants on a machine with bursts of foreign load."""
    above, below = [], []
    for _ in range(3):
        own = rng.normal(0, process_sd, 2)
        load = rng.exponential(0.05, 4)
        jitter = rng.gamma(1, 0.02, (2, 4, 8))
        times = 10 * np.exp(own[:, None, None] + load[None, :, None] + jitter)
        above.append((factor * times[0]).tolist())
        below.append(times[1].tolist())
    return paired_ratio(above, below, resamples=100)


@pytest.mark.parametrize("process_sd", [0.002, 0.01])
def test_equal_variants_show_no_difference_and_a_slower_one_is_found(process_sd: float) -> None:
    rng = np.random.default_rng(5)
    same = [_trial(rng, 1.0, process_sd=process_sd).verdict for _ in range(40)]
    slow = [_trial(rng, 1.1, process_sd=process_sd).verdict for _ in range(40)]
    assert same.count("no difference") >= 38
    assert slow.count("higher") >= 38


def test_variants_that_ran_apart_are_compared_by_their_processes() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.gamma(400, 0.025, (2, 3, 40)).tolist()
    assert independent_ratio(one, other).verdict == "no difference"
    assert independent_ratio([[2 * t for t in p] for p in one], other).verdict == "higher"
    assert independent_ratio([[t / 2 for t in p] for p in one], other).verdict == "lower"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.0, 1.2, "no difference"), (0.8, 1.0, "no difference"), (1.001, 1.2, "higher"),
     (0.8, 0.999, "lower")],
)  # fmt: skip
def test_an_interval_that_ends_at_one_tells_no_difference(
    low: float, high: float, verdict: str
) -> None:
    assert Ratio(1.0, Interval(low, high), 0.1).verdict == verdict


def test_apart_the_variant_of_fewer_processes_says_what_can_be_found() -> None:
    rng = np.random.default_rng(2)
    two, five = rng.gamma(400, 0.025, (2, 40)).tolist(), rng.gamma(400, 0.025, (5, 40)).tolist()
    for ratio in (independent_ratio(two, five), independent_ratio(five, two)):
        assert ratio.detectable == detectable_difference(ratio.interval, 2)


def _resampled_one_by_one(
    processes: list[list[float]], percent: float, count: int, seed: int
) -> list[float]:
    """The two-level bootstrap as it is defined."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        drawn = [processes[i] for i in rng.integers(len(processes), size=len(processes))]
        samples = [rng.choice(process, len(process)) for process in drawn]
        found.append(float(np.percentile(np.concatenate(samples), percent)))
    return found


@pytest.mark.parametrize("percent", [50, 90])
@pytest.mark.parametrize("counts", [(40, 40, 40), (11, 30, 25, 70), (9,)])
def test_resamples_drawn_at_once_are_spread_as_those_drawn_one_by_one(
    counts: tuple[int, ...], percent: float
) -> None:
    """Within what two bootstraps from unlike seeds differ by."""
    rng = np.random.default_rng(3)
    groups = [rng.gamma(9, 1 + 0.2 * i, count) for i, count in enumerate(counts)]
    found = resampled_percentiles(groups, percent, resamples=4000)
    wanted = np.array(_resampled_one_by_one([g.tolist() for g in groups], percent, 4000, seed=8))
    for rank in (2.5, 25, 50, 75, 97.5):
        mark = np.percentile(found, rank)
        # Of a few samples many resamples have the same percentile.
        assert 100 * np.mean(wanted < mark * (1 - 1e-9)) - 4 < rank
        assert rank < 100 * np.mean(wanted <= mark * (1 + 1e-9)) + 4


def test_a_long_run_is_resampled_in_blocks_of_bounded_memory() -> None:
    times = np.random.default_rng(1).gamma(9, 1, 60_000)
    tracemalloc.start()
    found = resampled_percentiles([times, times[:50_000]], 50, resamples=60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 << 20
    assert found.std() < 0.01 * found.mean()


def test_many_ratios_cost_little() -> None:
    """Two hundred reports of seven variants each are compared while somebody waits."""
    one, other = np.random.default_rng(2).gamma(400, 0.025, (2, 4, 150)).tolist()
    began = process_time()
    for seed in range(10):
        _resampled_one_by_one(one, 50, 100, seed)
    reference = process_time() - began
    began = process_time()
    independent_ratio(one, other)
    assert process_time() - began < 0.5 * reference


@pytest.mark.parametrize("processes", [3, 4, 8])
def test_an_interval_over_few_processes_is_as_wide_as_students(processes: int) -> None:
    """Of one sample each it is, on a log scale, that of a mean of so many normal numbers."""
    student = {3: 4.303, 4: 3.182, 8: 2.365}[processes]
    rng = np.random.default_rng(4)
    shares = []
    for _ in range(40):
        logs = rng.normal(0, 0.05, processes)
        means = logs[rng.integers(processes, size=(400, processes))].mean(axis=1)
        interval = _interval(means, logs.mean(), processes)
        width = 2 * student * logs.std(ddof=1) / processes**0.5
        shares.append(np.log(interval.high / interval.low) / width)
    assert np.mean(shares) == pytest.approx(1, abs=0.06)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=8, max_size=40),
    st.lists(st.integers(0, 30), min_size=8, max_size=40),
)
def test_mann_whitney_equals_scipy(a: list[int], b: list[int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    if len({*a, *b}) == 1:
        assert mann_whitney(a, b) == 1
        return
    wanted = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True).pvalue
    assert mann_whitney(a, b) == pytest.approx(float(wanted))


def test_a_warm_up_that_was_too_short_is_seen_and_noise_is_not() -> None:
    rng = np.random.default_rng(3)
    noisy = [(10 * rng.gamma(400, 1 / 400, 100)).tolist() for _ in range(3)]
    slow_start = [[1.3 * t if i < 25 else t for i, t in enumerate(p)] for p in noisy]
    assert is_steady(noisy) is True
    assert is_steady(slow_start) is False
    # A difference that chance makes of samples that jump, and one that is certain but small.
    jumping = [2.0, 2.0, 1.0, 2.0, 2.0, 1.0, *[2.0, 1.0] * 12]
    hardly_slower = [1.03] * 6 + [1.0] * 24
    assert is_steady([jumping] * 3) is True
    assert is_steady([hardly_slower] * 3) is True
    assert is_steady([[1.06] * 6 + [1.0] * 24] * 3) is False
    # One process of three may have been disturbed by a neighbour.
    assert is_steady([slow_start[0], *noisy[1:]]) is True
    assert is_steady([[1.0] * 10]) is None


def _noisy(factor: float, rng: np.random.Generator) -> list[list[list[float]]]:
    """Four processes of seven blocks, each process 1 % off and each sample 2 %."""
    return [
        (factor * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.02, (7, 4)))).tolist()
        for _ in range(4)
    ]


def test_the_difference_that_is_called_detectable_is_found_and_a_third_of_it_is_not() -> None:
    rng = np.random.default_rng(5)
    typical = median(
        [paired_ratio(_noisy(1, rng), _noisy(1, rng), resamples=100).detectable for _ in range(40)]
    )

    def found(difference: float) -> float:
        ratios = [
            paired_ratio(_noisy(1 + difference, rng), _noisy(1, rng), resamples=100)
            for _ in range(60)
        ]
        return sum(ratio.verdict == "higher" for ratio in ratios) / len(ratios)

    assert found(typical) >= 0.85
    assert found(typical / 3) <= 0.6


@pytest.mark.parametrize("processes", [*range(2, 14), 20, 100])
def test_the_quantiles_for_few_and_for_many_processes_are_those_of_scipy(processes: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    degrees = processes - 1
    student, power = _quantiles(processes)
    assert student == pytest.approx(float(stats.t.ppf(0.975, degrees)), rel=2e-3)
    assert float(stats.nct.sf(student, degrees, power)) == pytest.approx(0.95, abs=2e-3)


@pytest.mark.parametrize("processes", [1, 2, 4, 11, 12, 40])
def test_a_detectable_difference_is_a_bit_less_than_the_intervals_width(processes: int) -> None:
    interval = Interval(0.98, 1.02)
    here = detectable_difference(interval, processes)
    assert 0.03 < here < 0.041
    assert detectable_difference(Interval(1, 1), processes) == 0
    # Two runs that each have this interval differ by more before it shows.
    assert detectable_change(interval, processes) == pytest.approx(2**0.5 * here, rel=0.02)
