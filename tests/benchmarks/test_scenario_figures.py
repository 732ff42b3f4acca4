"""The figures of streams, soaks, starts, clips and stages, from samples that are written down."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.results.result import ProcessSamples
from edgeanim.benchmarks.timing.scenarios import (
    BatchRun,
    ColdStart,
    SoakWindow,
    frame_stages,
    summarize_batch,
    summarize_cold,
    summarize_soak,
    summarize_stream,
)


def test_a_slow_frame_counts_against_those_that_it_delays() -> None:
    # 100 frames/s; the first frame takes 35 ms, the others 1 ms each, played as fast as possible.
    responses = [35.0, 26.0, 17.0, 8.0, 1.0]
    found = summarize_stream(100.0, [responses])
    assert found.missed_frames == 3
    assert found.missed_share == 0.6
    # They finish at 35, 36, 37, 38 and 41 ms.
    assert found.freeze_ms == pytest.approx(3)
    assert found.jitter_ms == pytest.approx((9 + 9 + 9 + 7) / 4)
    assert found.max_ms == 35
    assert found.p50_ms is None


def test_a_frame_that_is_finished_as_the_next_one_is_due_is_not_missed() -> None:
    assert summarize_stream(20.0, [[50.0, 50.001]]).missed_frames == 1


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0.01, 500), min_size=1, max_size=30), min_size=1, max_size=4))
def test_a_steady_stream_misses_nothing_and_a_late_one_everything(
    processes: list[list[float]],
) -> None:
    longest = max(max(process) for process in processes)
    shortest = min(min(process) for process in processes)
    assert summarize_stream(1e3 / (2 * longest), processes).missed_frames == 0
    late = summarize_stream(1e3 / (0.5 * shortest), processes)
    assert late.missed_share == 1
    assert late.max_ms == longest


def _windows(times: list[float], sizes: list[float | None]) -> list[SoakWindow]:
    return [
        SoakWindow(10.0 * (i + 1), 100, time, None, size)
        for i, (time, size) in enumerate(zip(times, sizes, strict=True))
    ]


def test_a_soak_that_slows_down_and_grows_shows_both() -> None:
    times = [10.0] * 6 + [11.0] * 12 + [13.0] * 6
    found = summarize_soak(_windows(times, [100.0 + i for i in range(24)]))
    assert found.first_p50_ms == 10
    assert found.last_p50_ms == 13
    assert found.slowdown == pytest.approx(1.3)
    assert found.growth_mb == 23
    assert found.duration_s == 240
    assert found.frames == 2400


def test_memory_that_was_given_back_by_the_end_is_no_growth() -> None:
    found = summarize_soak(_windows([10.0] * 4, [100.0, 180.0, 150.0, 90.0]))
    assert found.growth_mb == -10


def test_what_a_frame_takes_beside_its_stages_is_never_less_than_nothing() -> None:
    """Stages are timed by clocks of their own, which may come to more than the frame's."""
    sample = ProcessSamples(0, 1.0, 1.0, ((10.0, 10.0), (10.0, 10.0)), {"net": (9.0, 12.0) * 2})
    found = frame_stages([sample])
    assert found["other"].share == pytest.approx(2 / 40)
    assert found["net"].share == 1.0


def test_a_long_soak_is_judged_by_its_first_and_last_minute() -> None:
    """Windows of ten seconds: a minute is six of them, no more and no fewer."""
    first, last = [9.0, 9.0, 9.0, 12.0, 12.0, 12.0], [14.0, 14.0, 14.0, 16.0, 16.0, 16.0]
    found = summarize_soak(_windows([*first, *[11.0] * 36, *last], [None] * 48))
    assert (found.first_p50_ms, found.last_p50_ms) == (10.5, 15)


def test_a_soak_without_memory_figures_says_so() -> None:
    found = summarize_soak(_windows([5.0, 5.0], [None, None]))
    assert found.growth_mb is None
    assert found.slowdown == 1


def test_cold_starts_and_clips_are_summed_up_by_their_medians() -> None:
    cold = summarize_cold([ColdStart(100, 50, 200), ColdStart(90, 60, 400), ColdStart(80, 70, 210)])
    assert (cold.p50_ms, cold.min_ms, cold.max_ms, cold.start_ms) == (210, 200, 400, 90)
    runs = [BatchRun(10, s, {"encode": (s * 50,) * 10}) for s in (1.0, 2.0, 4.0)]
    batch = summarize_batch(runs)
    assert batch.throughput_fps == 5
    assert batch.frame_ms == 200
    assert batch.stages["encode"].share == pytest.approx(0.5)
