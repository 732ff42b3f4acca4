"""From what the workers sent to the figures of a report. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from edgeanim.benchmarks.timing.schedule import Measurements
from edgeanim.benchmarks.timing.stats import (
    detectable_change,
    is_steady,
    median,
    paired_ratio,
    percentile,
    percentile_interval,
)
from edgeanim.core.artifact import FLOAT32, CompiledGraph, Precision

Gathered = tuple[str, Precision, Measurements]


def assemble(
    gathered: Mapping[str, Gathered], drifts: Mapping[str, Drift | None], *, rate_fps: float
) -> tuple[VariantResult, ...]:
    """The variants' results; `gathered` has the backend, the precision and the measurements of each
    by its id, `rate_fps` is that of the streams."""
    baselines: dict[str, tuple[str, Measurements]] = {}
    for name, (backend, precision, measured) in gathered.items():
        if precision == FLOAT32 and not measured.failure:
            baselines.setdefault(backend, (name, measured))
    return tuple(
        _variant(name, *entry, drifts[name], baselines.get(entry[0]), rate_fps)
        for name, entry in gathered.items()
    )


def _variant(
    name: str,
    backend: str,
    precision: Precision,
    measured: Measurements,
    drift: Drift | None,
    baseline: tuple[str, Measurements] | None,
    rate_fps: float,
) -> VariantResult:
    unmeasured = VariantResult(
        id=name,
        backend=backend,
        backend_version=measured.backend_version,
        precision=precision,
        schemes=tuple(dict.fromkeys(graph.scheme for graph in measured.job.graphs)),
        size_bytes=_size(measured.job.graphs),
        latency=None,
        throughput_fps=None,
        stages={},
        executed=None,
        drift=None,
        memory=None,
        speedup=None,
        failure=measured.failure,
        samples=tuple(measured.samples),
    )
    if measured.failure is not None:  # what was measured before it is no figure of the variant
        return unmeasured
    return replace(
        unmeasured,
        latency=_latency(measured.samples),
        throughput_fps=1e3 / median(_flat(measured.samples)),
        stages=frame_stages(measured.samples),
        executed=_executed(measured.profiles, measured.samples) if measured.profiles else None,
        drift=drift,
        memory=measured.memory,
        speedup=_speedup(name, measured, baseline),
        stream=summarize_stream(rate_fps, measured.streams) if measured.streams else None,
        soak=summarize_soak(measured.soak) if measured.soak else None,
        cold=summarize_cold(measured.colds) if measured.colds else None,
        batch=summarize_batch(measured.batches) if measured.batches else None,
        worst_picture=measured.picture,
    )


def _size(graphs: Sequence[CompiledGraph]) -> int:
    """The bytes of all their files; one that is lost counts for nothing."""
    files = [file for graph in graphs for file in graph.files]
    return sum(file.stat().st_size for file in files if file.is_file())


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


def _speedup(
    name: str, measured: Measurements, baseline: tuple[str, Measurements] | None
) -> Speedup | None:
    if baseline is None or baseline[0] == name:
        return None
    over, float32 = baseline
    ratio = paired_ratio(_blocks(float32.samples), _blocks(measured.samples))
    return Speedup(over, ratio.value, ratio.interval, ratio.detectable)


def _blocks(samples: Sequence[ProcessSamples]) -> list[tuple[tuple[float, ...], ...]]:
    return [process.blocks_ms for process in samples]


def _flat(samples: Sequence[ProcessSamples]) -> list[float]:
    return [time for process in samples for time in process.times_ms]
