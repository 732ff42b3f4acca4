"""The tables of a report beside the main one: stages and scenarios, the same in text and HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from edgeanim.benchmarks.drift.frames import Drift, Spread
from edgeanim.benchmarks.drift.regions import RegionDrift
from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.benchmarks.timing.scenarios import DECODE, ENCODE, OTHER, Stage, Stream
from edgeanim.report.words import ABSENT, milliseconds, number, telling
from edgeanim.runtime.execution import PREPARE
from edgeanim.runtime.stills import COMPOSE

Record = TypeVar("Record")


@dataclass(frozen=True)
class Grid:
    """A table ready to show: the first column names the variant (or region), all others are
    figures."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def drift_grids(report: Report) -> Iterator[Grid]:
    """Every kind of drift: the means, then the worst frames."""
    shown = [(v.id, v.drift) for v in report.variants if v.drift]
    if not shown:
        return
    yield Grid(
        "Drift",
        "Means. Similarities, where 1 is identical: SSIM, MS-SSIM, and SSIM of the differences "
        "between successive frames (temporal). Errors, where 0 is identical: brightness in levels "
        "of 255, flow in pixels, flicker in levels where the original stands still.",
        ("variant", *_DRIFTS),
        tuple((name, *(_mean(*column(d)) for column in _DRIFTS.values())) for name, d in shown),
    )
    yield Grid(
        "Worst frames",
        "The worst frame of each and, after @, which one it is.",
        ("variant", *_DRIFTS),
        tuple((name, *(_worst(*column(d)) for column in _DRIFTS.values())) for name, d in shown),
    )


def region_grids(report: Report) -> Iterator[Grid]:
    """Drift by region, of a model that finds regions: a row each, a column for every variant."""
    shown = [(v.id, v.drift.regions) for v in report.variants if v.drift and v.drift.regions]
    if not shown:
        return
    names = list(dict.fromkeys(name for _, regions in shown for name in regions))
    whole = {v.id: v.drift for v in report.variants if v.drift}

    def rows(
        of: Callable[[RegionDrift], Spread | None], digits: int
    ) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (name, *(_region(regions.get(name), of, digits) for _, regions in shown))
            for name in names
        )

    columns = ("region", *(variant for variant, _ in shown))
    yield Grid(
        "Drift by region",
        "SSIM within the regions that the float32 original sees in its own frames; mean over the "
        "frames and, after the slash, the worst one.",
        columns,
        (
            *rows(lambda region: region.ssim, 4),
            ("whole frame", *(_both(whole_frame(whole[v]), 4) for v, _ in shown)),
        ),
    )
    yield Grid(
        "Error by region",
        "The same for the mean absolute error, in levels of 255.",
        columns,
        rows(lambda region: region.l1, 2),
    )


def whole_frame(drift: Drift) -> Spread:
    """SSIM over whole frames, as a spread like the others."""
    return Spread(drift.ssim_mean, drift.ssim_p5, drift.ssim_worst, drift.worst_frame)


def _region(
    region: RegionDrift | None, of: Callable[[RegionDrift], Spread | None], digits: int
) -> str:
    return _both(of(region) if region else None, digits)


def _both(spread: Spread | None, digits: int) -> str:
    return f"{number(spread.mean, digits)} / {number(spread.worst, digits)}" if spread else ABSENT


_DRIFTS: Mapping[str, Callable[[Drift], tuple[Spread | None, int]]] = {
    "SSIM": lambda d: (whole_frame(d), 4),
    "MS-SSIM": lambda d: (d.ms_ssim, 4),
    "PSNR dB": lambda d: (d.psnr, 1),
    "brightness": lambda d: (d.brightness, 2),
    "temporal": lambda d: (d.temporal, 4),
    "flow": lambda d: (d.flow, 3),
    "flicker": lambda d: (d.flicker, 2),
}


def _mean(spread: Spread | None, digits: int) -> str:
    return number(spread.mean if spread else None, digits)


def _worst(spread: Spread | None, digits: int) -> str:
    return f"{number(spread.worst, digits)} @{spread.worst_frame}" if spread else ABSENT


def grids(report: Report) -> Iterator[Grid]:
    """The scenarios that were measured."""
    yield from _grid(
        report,
        "Stream",
        "Frames at a fixed rate, timed from their scheduled start. Missed: not finished when the "
        "next one was due. Freeze: the longest time without a new frame. Jitter: the mean change "
        "of the response time from frame to frame.",
        lambda v: v.stream,
        {
            "frames/s": lambda s: telling(s.rate_fps, 1),
            "p50 ms": lambda s: milliseconds(s.p50_ms),
            "p95 ms": lambda s: milliseconds(s.p95_ms),
            "p99 ms": lambda s: milliseconds(s.p99_ms),
            "worst ms": lambda s: milliseconds(s.max_ms),
            "missed": _missed,
            "freeze ms": lambda s: milliseconds(s.freeze_ms),
            "jitter ms": lambda s: milliseconds(s.jitter_ms),
        },
    )
    yield from _grid(
        report,
        "Soak",
        "Played without a break: the median of the last minute against the first (quarters of a "
        "shorter soak), and what the process has grown by since the first window.",
        lambda v: v.soak,
        {
            "minutes": lambda s: number(s.duration_s / 60, 1),
            "frames": lambda s: str(s.frames),
            "first p50 ms": lambda s: milliseconds(s.first_p50_ms),
            "last p50 ms": lambda s: milliseconds(s.last_p50_ms),
            "last/first": lambda s: number(s.slowdown, 3),
            "grown MB": lambda s: number(s.growth_mb, 2),
        },
    )
    yield from _grid(
        report,
        "Cold start",
        "From the start of a fresh process to its first frame, files in the page cache; of that "
        "the interpreter with its imports, and the runtime with the graphs.",
        lambda v: v.cold,
        {
            "starts": lambda s: str(s.processes),
            "median ms": lambda s: milliseconds(s.p50_ms),
            "least ms": lambda s: milliseconds(s.min_ms),
            "most ms": lambda s: milliseconds(s.max_ms),
            "start ms": lambda s: milliseconds(s.start_ms),
            "load ms": lambda s: milliseconds(s.load_ms),
        },
    )
    yield from _grid(
        report,
        "Batch",
        "A clip rendered from its decoding to the encoded mp4. A stored motion needs no decoding.",
        lambda v: v.batch,
        {
            "frames": lambda s: str(s.frames),
            "frames/s": lambda s: telling(s.throughput_fps, 1),
            "ms a frame": lambda s: milliseconds(s.frame_ms),
        },
    )


def stage_grid(report: Report) -> Grid | None:
    """Median ms of each stage of a frame, in the order in which they run."""
    shown = [(v, stages_of(v)) for v in report.variants if v.stages]
    if not shown:
        return None
    names = stage_names(report)
    return Grid(
        "Stages",
        "Median ms of each stage of a frame; prepare turns pictures into tensors, compose warps "
        "and blends the finished frame. Decoding and encoding are those of the batch scenario, "
        "where it was measured.",
        ("variant", *names),
        tuple(
            (v.id, *(milliseconds(stages[n]) if n in stages else ABSENT for n in names))
            for v, stages in shown
        ),
    )


def stage_names(report: Report) -> tuple[str, ...]:
    """Every stage of any variant, in the order in which they run."""
    found = dict.fromkeys(name for variant in report.variants for name in stages_of(variant))
    ends = (DECODE, PREPARE, COMPOSE, OTHER, ENCODE)
    graphs = [name for name in found if name not in ends]
    order = (DECODE, PREPARE, *graphs, COMPOSE, OTHER, ENCODE)
    return tuple(name for name in order if name in found)


def stages_of(variant: VariantResult) -> dict[str, float]:
    """Median ms by stage: `decode`, those of a frame, and `encode`, as far as they were
    measured."""
    stages = _medians(variant.stages)
    offline = _medians(variant.batch.stages) if variant.batch else {}
    before = {DECODE: offline[DECODE]} if DECODE in offline else {}
    after = {ENCODE: offline[ENCODE]} if ENCODE in offline else {}
    return before | stages | after


def _medians(stages: Mapping[str, Stage]) -> dict[str, float]:
    return {name: stage.p50_ms for name, stage in stages.items() if stage.p50_ms is not None}


def _grid(
    report: Report,
    title: str,
    caption: str,
    record: Callable[[VariantResult], Record | None],
    columns: Mapping[str, Callable[[Record], str]],
) -> Iterator[Grid]:
    found = [(v.id, entry) for v in report.variants if (entry := record(v)) is not None]
    if found:
        rows = ((name, *(show(entry) for show in columns.values())) for name, entry in found)
        yield Grid(title, caption, ("variant", *columns), tuple(rows))


def _missed(stream: Stream) -> str:
    return f"{stream.missed_frames} of {stream.frames} ({stream.missed_share:.0%})"
