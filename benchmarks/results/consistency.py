"""Whether a report's figures agree with the samples that it carries itself.

Gates and verdicts go by the figures, comparisons by the samples. Where the two contradict each
other the report was changed after it was written, and none of it can be relied on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.benchmarks.drift.frames import Drift
from edgeanim.benchmarks.results.shares import shares_of
from edgeanim.benchmarks.timing.scenarios import (
    Batch,
    Cold,
    Soak,
    Stage,
    Stream,
    batch_figures,
    cold_figures,
    frame_stages,
    soak_figures,
    stream_figures,
    summarize_batch,
)
from edgeanim.benchmarks.timing.stats import Interval, median, paired_value, percentile
from edgeanim.core.errors import BadInput

if TYPE_CHECKING:
    from edgeanim.benchmarks.results.result import Report, VariantResult

# Of what is written and read again without rounding.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
# Below a nanosecond no clock has told anything.
_LEAST_MS = 1e-9

_CHANGED = "The report was changed after it was written: measure again."
_INTERVALS = {
    "p50_interval_ms": "p50_ms",
    "p90_interval_ms": "p90_ms",
    "interval": "ratio",
    "slowdown_interval": "slowdown",
}
"""The figure that each is of. How wide they are would take too long to reckon anew."""
Value = float | None
# What the samples give, by the name of the figure; `None` where they are too few to tell.
Figures = Mapping[str, Value]


def check_samples(report: Report, *, where: object) -> None:
    """`BadInput` names the first figure that is not that of the report's own samples, and a latency
    without samples. A report of nothing is refused too, for every gate would pass."""
    if not report.variants:
        raise BadInput("This report is of no variant.", where=where)
    for index, variant in enumerate(report.variants):
        place = f"variants[{index}]"
        if variant.latency is not None and not _has_samples(variant):
            raise BadInput(
                "A latency needs the samples that it is of, and all of them above 0.",
                where=f"{where} [{place}.samples]",
            )
        for section, part, given in _sections(report, variant):
            _check(part, given, where=where, place=f"{place}{section}")


def _has_samples(variant: VariantResult) -> bool:
    """Whether every process has blocks and every block times: comparing draws from each."""
    processes = [process.blocks_ms for process in variant.samples]
    blocks = [block for process in processes for block in process]
    return bool(processes) and all(processes) and all(b and min(b) >= _LEAST_MS for b in blocks)


def _sections(report: Report, variant: VariantResult) -> Iterator[tuple[str, object, Figures]]:
    """Each part of a variant with what its samples give."""
    if variant.latency is not None:
        yield ".latency", variant.latency, _of_latency(variant)
        yield "", variant, {"throughput_fps": 1e3 / median(_times(variant))}
        yield from _of_stages(".stages", variant.stages, frame_stages(variant.samples))
        if variant.executed is not None:
            yield ".executed", variant.executed, shares_of(variant.executed.graphs, variant.samples)
    if variant.drift is not None:
        yield ".drift", variant.drift, _of_drift(variant.drift)
    if variant.stream is not None:
        yield ".stream", variant.stream, _of_stream(variant.stream)
    if variant.soak is not None:
        yield ".soak", variant.soak, _of_soak(variant.soak)
    if variant.cold is not None:
        yield ".cold", variant.cold, _of_cold(variant.cold)
    if variant.batch is not None:
        yield ".batch", variant.batch, _of_batch(variant.batch)
        yield from _of_stages(
            ".batch.stages", variant.batch.stages, _stages_of_batch(variant.batch)
        )
    gain = variant.speedup if variant.latency is not None else None
    # A report of some of the variants may lack the one that it is over.
    if gain is not None and (over := report.variant(gain.over)) is not None:
        yield ".speedup", gain, {"ratio": _gain(over, variant)}


def _check(part: object, given: Figures, *, where: object, place: str) -> None:
    for name, value in given.items():
        said = getattr(part, name)
        if said is None or (value is not None and _agree(said, value)):
            continue
        told = "are too few for it" if value is None else f"give {value:g}"
        raise BadInput(
            f"This says {said:g}, but the samples in the report {told}.",
            where=f"{where} [{place}.{name}]",
            hint=_CHANGED,
        )
    for name, of in _INTERVALS.items():
        interval, value = getattr(part, name, None), getattr(part, of, None)
        if interval is not None and value is not None and not _holds(interval, value):
            raise BadInput(
                f"This interval does not hold the {value:g} that it is of.",
                where=f"{where} [{place}.{name}]",
                hint=_CHANGED,
            )


def _holds(interval: Interval, value: float) -> bool:
    ends = (interval.low, interval.high)
    return value in interval or any(_agree(end, value) for end in ends)


def _agree(said: float, value: float) -> bool:
    return math.isclose(said, value, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _times(variant: VariantResult) -> list[float]:
    return [time for process in variant.samples for time in process.times_ms]


def _of_latency(variant: VariantResult) -> Figures:
    times = _times(variant)
    return {
        "samples": len(times),
        "processes": len(variant.samples),
        "min_ms": min(times),
        "max_ms": max(times),
        "load_ms": median([process.load_ms for process in variant.samples]),
        **{f"p{percent}_ms": percentile(times, percent) for percent in (50, 90, 95, 99)},
    }


def _of_stages(
    section: str, said: Mapping[str, Stage], given: Mapping[str, Stage]
) -> Iterator[tuple[str, object, Figures]]:
    for name, stage in said.items():
        figures = asdict(given[name]) if name in given else {"share": None}
        yield f"{section}.{name}", stage, figures


def _stages_of_batch(batch: Batch) -> Mapping[str, Stage]:
    return summarize_batch(batch.runs).stages if _rendered(batch) else {}


def _of_drift(drift: Drift) -> Figures:
    if not drift.ssim:
        return {"frames": None, "ssim_mean": None}
    mean = float(np.mean(drift.ssim))
    return {
        "frames": len(drift.ssim),
        "ssim_mean": mean,
        "ssim_p5": float(np.percentile(drift.ssim, 5)),
        "ssim_worst": min(drift.ssim),
        "worst_frame": int(np.argmin(drift.ssim)),
        "drift_mean": 1 - mean,
    }


def _of_stream(stream: Stream) -> Figures:
    if stream.rate_fps <= 0 or not stream.responses_ms or not all(stream.responses_ms):
        return {"frames": None}
    return stream_figures(stream.rate_fps, stream.responses_ms)


def _of_soak(soak: Soak) -> Figures:
    if not soak.windows or min(window.p50_ms for window in soak.windows) < _LEAST_MS:
        return {"frames": None}
    return soak_figures(soak.windows)


def _of_cold(cold: Cold) -> Figures:
    return cold_figures(cold.starts) if cold.starts else {"processes": None}


def _of_batch(batch: Batch) -> Figures:
    return batch_figures(batch.runs) if _rendered(batch) else {"frames": None}


def _rendered(batch: Batch) -> bool:
    return bool(batch.runs) and min(min(run.frames, run.total_s) for run in batch.runs) > 0


def _gain(over: VariantResult, variant: VariantResult) -> Value:
    """`None` without the other variant's samples."""
    if not _has_samples(over):
        return None
    before, after = ([p.blocks_ms for p in each.samples] for each in (over, variant))
    return paired_value(before, after)
