"""The scenarios beside `single`, what each measures, and from raw samples to its figures.

    single   closed loop: the next frame starts when the one before is finished; service time
    stream   open loop: frames come at a fixed rate, whether or not the one before is finished
    soak     closed loop for minutes: does it slow down, does it grow
    cold     from the start of a process to its first frame
    batch    a clip rendered offline, from its decoding to the encoded animation

`single` always runs, since drift, precision and memory belong to it; the others on request.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgeanim.benchmarks.timing.stats import (
    Interval,
    independent_ratio,
    median,
    percentile,
    percentile_interval,
)

if TYPE_CHECKING:
    from edgeanim.benchmarks.results.result import ProcessSamples

Scenario = Literal["single", "stream", "soak", "cold", "batch"]
# The stages of a frame that only an offline run has.
DECODE, ENCODE = "decode", "encode"
# What a frame takes beside its stages.
OTHER = "other"
# A soak is judged by its first against its last minute, or quarter where it is shorter.
_MINUTE_S = 60.0
_QUARTER = 0.25


@dataclass(frozen=True)
class Stage:
    """One stage of a frame (a graph by its name, `prepare`, `compose`, `other` for the rest;
    offline also `decode` and `encode`). `share` is its part of the frame's whole time."""

    p50_ms: float | None
    p90_ms: float | None
    share: float


@dataclass(frozen=True)
class Stream:
    """Frames at a fixed rate. Each is timed from the moment at which it was *scheduled* to start,
    so that a slow one also counts against those that it delays; none is left out.

    A frame is missed if it is not finished when the next one is due. `freeze_ms` is the longest
    time between two finished frames. `jitter_ms` is the mean change of the response time from one
    frame to the next (the D of RFC 3550, section 6.4.1, without its smoothing). `responses_ms` are
    the raw samples by process.
    """

    rate_fps: float
    frames: int
    processes: int
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p90_interval_ms: Interval | None
    max_ms: float
    missed_frames: int
    missed_share: float
    freeze_ms: float
    jitter_ms: float
    responses_ms: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SoakWindow:
    """A part of a soak that ended at `at_s`. `rss_mb` was read from outside after it."""

    at_s: float
    frames: int
    p50_ms: float
    p90_ms: float | None
    rss_mb: float | None


@dataclass(frozen=True)
class Soak:
    """Minutes of play without a break. `slowdown` is the last minute's median over the first's
    (of a short soak, the last quarter's over the first's), `growth_mb` the resident memory at the
    end less that after the first window."""

    duration_s: float
    frames: int
    first_p50_ms: float
    last_p50_ms: float
    slowdown: float
    slowdown_interval: Interval
    growth_mb: float | None
    windows: tuple[SoakWindow, ...]


@dataclass(frozen=True)
class ColdStart:
    """One start, with its files in the page cache: `start_ms` until the interpreter and all
    imports are there, `load_ms` for the graphs, `total_ms` until the first frame is finished."""

    start_ms: float
    load_ms: float
    total_ms: float


@dataclass(frozen=True)
class Cold:
    """Starts of fresh processes, one after the other: medians and extremes in ms."""

    processes: int
    p50_ms: float
    min_ms: float
    max_ms: float
    start_ms: float
    load_ms: float
    starts: tuple[ColdStart, ...]


@dataclass(frozen=True)
class BatchRun:
    """One process that rendered a clip: `total_s` for all of it, and each stage's times by
    frame. Where the motion is stored, nothing is decoded."""

    frames: int
    total_s: float
    stages_ms: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Batch:
    """Offline rendering. `throughput_fps` is the median over the processes; what the stages'
    shares leave is what is done once per clip: opening, the still, finishing the file."""

    frames: int
    processes: int
    throughput_fps: float
    frame_ms: float
    stages: Mapping[str, Stage]
    runs: tuple[BatchRun, ...]


def summarize_stream(rate_fps: float, responses_ms: Sequence[Sequence[float]]) -> Stream:
    """The figures of a stream from the response times (ms) of each process, in order."""
    return Stream(
        rate_fps=rate_fps,
        p90_interval_ms=percentile_interval(responses_ms, 90),
        responses_ms=tuple(map(tuple, responses_ms)),
        **stream_figures(rate_fps, responses_ms),
    )


def stream_figures(rate_fps: float, responses_ms: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Those of `summarize_stream` that take no time, by name."""
    period = 1e3 / rate_fps
    flat = [time for process in responses_ms for time in process]
    missed = sum(time > period for time in flat)
    return {
        "frames": len(flat),
        "processes": len(responses_ms),
        **{f"p{percent}_ms": percentile(flat, percent) for percent in (50, 90, 95, 99)},
        "max_ms": max(flat),
        "missed_frames": missed,
        "missed_share": missed / len(flat),
        "freeze_ms": max(_longest_freeze(process, period) for process in responses_ms),
        "jitter_ms": _jitter(responses_ms),
    }


def summarize_soak(windows: Sequence[SoakWindow]) -> Soak:
    """The figures of a soak from its windows, of which there is at least one."""
    first, last = _ends(windows)
    interval = independent_ratio([last], [first]).interval
    return Soak(slowdown_interval=interval, windows=tuple(windows), **soak_figures(windows))


def soak_figures(windows: Sequence[SoakWindow]) -> dict[str, Any]:
    """Those of `summarize_soak` that take no time, by name."""
    first, last = map(median, _ends(windows))
    sizes = [window.rss_mb for window in windows if window.rss_mb is not None]
    return {
        "duration_s": windows[-1].at_s,
        "frames": sum(window.frames for window in windows),
        "first_p50_ms": first,
        "last_p50_ms": last,
        "slowdown": last / first,
        "growth_mb": sizes[-1] - sizes[0] if sizes else None,
    }


def summarize_cold(starts: Sequence[ColdStart]) -> Cold:
    """The figures of at least one cold start."""
    return Cold(starts=tuple(starts), **cold_figures(starts))


def cold_figures(starts: Sequence[ColdStart]) -> dict[str, Any]:
    """Those of `summarize_cold`, by name."""
    totals = [start.total_ms for start in starts]
    return {
        "processes": len(starts),
        "p50_ms": median(totals),
        "min_ms": min(totals),
        "max_ms": max(totals),
        "start_ms": median([start.start_ms for start in starts]),
        "load_ms": median([start.load_ms for start in starts]),
    }


def summarize_batch(runs: Sequence[BatchRun]) -> Batch:
    """The figures of at least one rendered clip."""
    whole_ms = 1e3 * sum(run.total_s for run in runs)
    stages = summarize_stages([run.stages_ms for run in runs], whole_ms)
    return Batch(stages=stages, runs=tuple(runs), **batch_figures(runs))


def batch_figures(runs: Sequence[BatchRun]) -> dict[str, Any]:
    """Those of `summarize_batch` for all stages together, by name."""
    rate = median([run.frames / run.total_s for run in runs])
    return {
        "frames": sum(run.frames for run in runs),
        "processes": len(runs),
        "throughput_fps": rate,
        "frame_ms": 1e3 / rate,
    }


def frame_stages(samples: Sequence[ProcessSamples]) -> dict[str, Stage]:
    """Each stage of a frame over all processes, and what the frame took beside its stages."""
    whole_ms = sum(time for process in samples for time in process.times_ms)
    return summarize_stages([_with_the_rest(process) for process in samples], whole_ms)


def _with_the_rest(process: ProcessSamples) -> dict[str, list[float]]:
    stages = {name: list(times) for name, times in process.stages_ms.items()}
    frames = process.times_ms
    if any(len(times) != len(frames) for times in stages.values()):
        return stages
    rest = [whole - sum(parts) for whole, *parts in zip(frames, *stages.values(), strict=True)]
    return stages | {OTHER: [max(0.0, time) for time in rest]}


def summarize_stages(
    processes: Sequence[Mapping[str, Sequence[float]]], whole_ms: float
) -> dict[str, Stage]:
    """Each stage over all processes; `whole_ms` is the time of all their frames together."""
    stages = {}
    for name in dict.fromkeys(itertools.chain.from_iterable(processes)):
        times = [time for process in processes for time in process.get(name, ())]
        share = min(1.0, sum(times) / whole_ms)
        stages[name] = Stage(percentile(times, 50), percentile(times, 90), share)
    return stages


def _ends(windows: Sequence[SoakWindow]) -> tuple[list[float], list[float]]:
    """The medians of the windows by which a soak is judged: the first ones and the last ones."""
    duration = windows[-1].at_s
    part = min(_MINUTE_S, _QUARTER * duration)
    first = [w.p50_ms for w in windows if w.at_s <= part] or [windows[0].p50_ms]
    last = [w.p50_ms for w in windows if w.at_s > duration - part] or [windows[-1].p50_ms]
    return first, last


def _longest_freeze(responses_ms: Sequence[float], period: float) -> float:
    finished = [index * period + time for index, time in enumerate(responses_ms)]
    return max((b - a for a, b in itertools.pairwise(finished)), default=finished[0])


def _jitter(processes: Sequence[Sequence[float]]) -> float:
    changes = [abs(b - a) for process in processes for a, b in itertools.pairwise(process)]
    return sum(changes) / len(changes) if changes else 0.0
