"""The plain-text table of a report, and the one sentence that says what to ship."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeanim.benchmarks.compare import Comparison, ratio_within
from edgeanim.benchmarks.result import Executed, Report, VariantResult
from edgeanim.core.artifact import FLOAT32

ABSENT = "–"
MAX_DRIFT = 0.02


@dataclass(frozen=True)
class Column:
    """A column: `show` gives a variant's cell. Figures are aligned to the right."""

    title: str
    show: Callable[[VariantResult], str]
    right: bool = True


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; a dash for one that was not measured."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def milliseconds(value: float | None) -> str:
    """A time in ms with three significant digits."""
    if value is None:
        return ABSENT
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def executed_in_words(executed: Executed | None) -> str:
    """What executed, by share: `int8 93%, float32 4%, conversion and layout 3%`."""
    if executed is None:
        return ABSENT
    parts = (
        ("int8", executed.int8_share),
        (_float_name(executed), executed.float_share),
        ("conversion and layout", executed.convert_share + executed.layout_share),
    )
    return ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= 0.005) or ABSENT


def executed_in_short(executed: Executed | None) -> str:
    """The same in one word: the share of INT8, or the float type if there is none."""
    if executed is None:
        return ABSENT
    if executed.int8_share < 0.005:
        return _float_name(executed)
    return f"int8 {executed.int8_share:.0%}"


def _float_name(executed: Executed) -> str:
    """The type that most of what is not INT8 computed in."""
    rows = [
        op
        for graph in executed.graphs.values()
        for op in graph.ops
        if op.kind == "compute" and op.precision != "int8"
    ]
    return max(rows, key=lambda op: op.share).precision if rows else "float"


COLUMNS = (
    Column("backend", lambda v: v.backend, right=False),
    Column("asked", lambda v: v.precision, right=False),
    Column("executed", lambda v: executed_in_short(v.executed), right=False),
    Column("p50 ms", lambda v: milliseconds(v.latency.p50_ms if v.latency else None)),
    Column("p90 ms", lambda v: milliseconds(v.latency.p90_ms if v.latency else None)),
    Column("frames/s", lambda v: number(v.throughput_fps, 1)),
    Column("gain", lambda v: f"{v.speedup.ratio:.2f}x" if v.speedup else ABSENT),
    Column("drift", lambda v: number(v.drift.drift_mean if v.drift else None, 4)),
    Column("worst", lambda v: number(1 - v.drift.ssim_worst if v.drift else None, 4)),
    Column("peak MB", lambda v: number(v.memory.peak_rss_mb if v.memory else None, 0)),
)


def table(report: Report) -> str:
    """One report as a table; below it, why a variant failed and what speaks against the run.

    Drift is 1 - SSIM against the float32 original, the mean over the frames and the worst one;
    gain is the speed against the same backend's float32.
    """
    rows = [[column.show(variant) for column in COLUMNS] for variant in report.variants]
    lines = _aligned([column.title for column in COLUMNS], rows)
    lines += [f"{v.id} failed. {v.failure.message}" for v in report.variants if v.failure]
    lines += [f"Read with care: {reason}." for reason in report.validity.reasons]
    return "\n".join(lines) + "\n"


def comparison_table(comparison: Comparison) -> str:
    """All reports' tables, each under its name, then what changed against the first."""
    blocks = [
        f"{name} ({report.model.name}, {report.created})\n{table(report)}"
        for name, report in zip(comparison.names, comparison.reports, strict=True)
    ]
    notes = [f"Note: {difference}" for difference in comparison.differences]
    for change in comparison.changes:
        low, high = change.ratio.interval.low, change.ratio.interval.high
        notes.append(
            f"{change.variant} in {comparison.names[change.report]}: {change.verdict} "
            f"({change.ratio.value:.3f}x the latency of {comparison.names[0]}, "
            f"95 % {low:.3f} to {high:.3f})"
        )
    return "\n".join(blocks + (["\n".join(notes) + "\n"] if notes else []))


def verdict(report: Report, *, max_drift: float = MAX_DRIFT) -> str:
    """One sentence: what to ship on this machine, and why.

    The fastest variant whose mean drift is within `max_drift`; INT8 only if it beats the fastest
    float32 by more than its interval.
    """
    usable = [v for v in report.variants if _within(v, max_drift)]
    if not usable:
        return (
            f"Ship nothing yet: no variant ran with a mean SSIM drift of at most {max_drift:g} "
            "from the float32 original."
        )
    best = min(usable, key=_p50)
    floats = [v for v in usable if v.precision == FLOAT32]
    if best.precision == FLOAT32:
        return f"Ship {_described(best)}: {_why_float(report, max_drift)}."
    if not floats:
        return (
            f"Ship {_described(best)}, the fastest within a drift of {max_drift:g}; no float32 "
            "variant was measured beside it."
        )
    float32 = min(floats, key=_p50)
    ratio = ratio_within(report, float32.id, best.id)
    times = f"{ratio.value:.2f}x ({ratio.interval.low:.2f} to {ratio.interval.high:.2f})"
    if ratio.verdict != "higher":
        return (
            f"Ship {_described(float32)}: the fastest INT8 variant, {best.id}, is not reliably "
            f"faster, at {times} its speed."
        )
    return (
        f"Ship {_described(best)}: it is {times} as fast as the fastest float32, {float32.id}, "
        f"within the drift of {max_drift:g} that is allowed."
    )


def _within(variant: VariantResult, max_drift: float) -> bool:
    if variant.latency is None or variant.latency.p50_ms is None or variant.drift is None:
        return False
    return variant.drift.drift_mean <= max_drift


def _p50(variant: VariantResult) -> float:
    assert variant.latency is not None
    assert variant.latency.p50_ms is not None
    return variant.latency.p50_ms


def _described(variant: VariantResult) -> str:
    assert variant.drift is not None
    return (
        f"{variant.id} ({milliseconds(_p50(variant))} ms a frame, "
        f"{number(variant.throughput_fps, 0)} frames/s, mean drift "
        f"{variant.drift.drift_mean:.4f}, worst {1 - variant.drift.ssim_worst:.4f})"
    )


def _why_float(report: Report, max_drift: float) -> str:
    int8 = [v for v in report.variants if v.precision == "int8" and v.latency is not None]
    if not int8:
        return "no INT8 variant was measured"
    if not any(_within(v, max_drift) for v in int8):
        return f"every INT8 variant drifts by more than {max_drift:g}"
    return "no INT8 variant within the allowed drift is faster"


def _aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(cells, widths, COLUMNS, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return [line(titles), line(["-" * width for width in widths]), *map(line, rows)]
