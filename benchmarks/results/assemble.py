"""From what the workers sent to the figures of a report. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.results.result import (
    Executed,
    GraphProfile,
    Latency,
    ProcessSamples,
    Speedup,
    VariantResult,
)
from edgeanim.benchmarks.results.shares import shares_of
from edgeanim.benchmarks.timing.scenarios import (
    frame_stages,
    summarize_batch,
    summarize_cold,
    summarize_soak,
    summarize_stream,
)
from edgeanim.benchmarks.timing.schedule import Course
from edgeanim.benchmarks.timing.stats import (
    detectable_change,
    is_steady,
    median,
    paired_ratio,
    percentile,
    percentile_interval,
)
from edgeanim.core.artifact import FLOAT32, Precision

Gathered = tuple[str, Precision, Course]


def assemble(
    gathered: Mapping[str, Gathered], drifts: Mapping[str, Drift | None], *, rate_fps: float
) -> tuple[VariantResult, ...]:
    """The variants' results; `gathered` has the backend, the precision and the course of each by
    its id, `rate_fps` is that of the streams."""
    baselines: dict[str, tuple[str, Course]] = {}
    for name, (backend, precision, course) in gathered.items():
        if precision == FLOAT32 and not course.failure:
            baselines.setdefault(backend, (name, course))
    return tuple(
        _variant(name, *entry, drifts[name], baselines.get(entry[0]), rate_fps)
        for name, entry in gathered.items()
    )


def _variant(
    name: str,
    backend: str,
    precision: Precision,
    course: Course,
    drift: Drift | None,
    baseline: tuple[str, Course] | None,
    rate_fps: float,
) -> VariantResult:
    good = course.failure is None
    latency = _latency(course.samples) if good else None
    return VariantResult(
        id=name,
        backend=backend,
        backend_version=course.backend_version,
        precision=precision,
        schemes=tuple(dict.fromkeys(graph.scheme for graph in course.job.graphs)),
        size_bytes=sum(
            file.stat().st_size
            for graph in course.job.graphs
            for file in graph.files
            if file.is_file()
        ),
        latency=latency,
        throughput_fps=1e3 / median(_flat(course.samples)) if good else None,
        stages=frame_stages(course.samples) if good else {},
        executed=_executed(course.profiles, course.samples) if good and course.profiles else None,
        drift=drift if good else None,
        memory=course.memory if good else None,
        speedup=_speedup(name, course, baseline) if good else None,
        failure=course.failure,
        samples=tuple(course.samples),
        stream=summarize_stream(rate_fps, course.streams) if good and course.streams else None,
        soak=summarize_soak(course.soak) if good and course.soak else None,
        cold=summarize_cold(course.colds) if good and course.colds else None,
        batch=summarize_batch(course.batches) if good and course.batches else None,
        worst_picture=course.picture if good else None,
    )


def _latency(samples: Sequence[ProcessSamples]) -> Latency:
    processes = [process.times_ms for process in samples]
    flat = _flat(samples)
    interval = percentile_interval(processes, 50)
    return Latency(
        samples=len(flat),
        processes=len(processes),
        p50_ms=percentile(flat, 50),
        p90_ms=percentile(flat, 90),
        p95_ms=percentile(flat, 95),
        p99_ms=percentile(flat, 99),
        p50_interval_ms=interval,
        p90_interval_ms=percentile_interval(processes, 90),
        min_ms=min(flat),
        max_ms=max(flat),
        load_ms=median([process.load_ms for process in samples]),
        steady=is_steady(processes),
        detectable=None if interval is None else detectable_change(interval, len(processes)),
    )


def _executed(profiles: Mapping[str, GraphProfile], samples: Sequence[ProcessSamples]) -> Executed:
    return Executed(**shares_of(profiles, samples), graphs=profiles)


def _speedup(name: str, course: Course, baseline: tuple[str, Course] | None) -> Speedup | None:
    if baseline is None or baseline[0] == name:
        return None
    over, float32 = baseline
    ratio = paired_ratio(_blocks(float32.samples), _blocks(course.samples))
    return Speedup(over, ratio.value, ratio.interval, ratio.detectable)


def _blocks(samples: Sequence[ProcessSamples]) -> list[tuple[tuple[float, ...], ...]]:
    return [process.blocks_ms for process in samples]


def _flat(samples: Sequence[ProcessSamples]) -> list[float]:
    return [time for process in samples for time in process.times_ms]
