"""Reports as plain-text tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeanim.benchmarks.results.compare import Comparison
from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.core.errors import printable
from edgeanim.report.columns import ruled
from edgeanim.report.sections import grids
from edgeanim.report.state import state_in_words
from edgeanim.report.words import (
    ABSENT,
    cautions,
    detectable_in_words,
    difference,
    executed_in_short,
    milliseconds,
    number,
    regions_in_words,
    telling,
)


@dataclass(frozen=True)
class Column:
    """A column: `show` gives a variant's cell. Figures are aligned to the right."""

    title: str
    show: Callable[[VariantResult], str]
    right: bool = True


def backend_name(variant: VariantResult) -> str:
    """The backend, or the variant's own name where it has been given one."""
    usual = f"{variant.backend}-{variant.precision}"
    return variant.backend if variant.id == usual else variant.id


COLUMNS = (
    Column("backend", backend_name, right=False),
    Column("asked", lambda v: v.precision, right=False),
    Column("executed", executed_in_short, right=False),
    Column("p50 ms", lambda v: milliseconds(v.latency.p50_ms if v.latency else None)),
    Column("p90 ms", lambda v: milliseconds(v.latency.p90_ms if v.latency else None)),
    Column("frames/s", lambda v: telling(v.throughput_fps, 1)),
    Column("gain", lambda v: f"{v.speedup.ratio:.2f}x" if v.speedup else ABSENT),
    Column("drift", lambda v: number(v.drift.drift_mean if v.drift else None, 4)),
    Column("worst", lambda v: number(1 - v.drift.ssim_worst if v.drift else None, 4)),
    Column("peak MB", lambda v: number(v.memory.peak_rss_mb if v.memory else None, 0)),
)
WORDS = tuple(index for index, column in enumerate(COLUMNS) if not column.right)
"""Which of them hold words."""


def table(report: Report) -> str:
    """One report as a table; below it the further scenarios, why a variant failed, what the machine
    spent and what speaks against the run.

    Drift is 1 - SSIM against the float32 original, the mean over the frames and the worst one;
    gain is the speed against the same backend's float32.
    """
    rows = [[column.show(variant) for column in COLUMNS] for variant in report.variants]
    lines = ruled([column.title for column in COLUMNS], rows, WORDS)
    for grid in grids(report):
        lines += ["", grid.title, *ruled(grid.columns, grid.rows, (0,))]
    for variant in report.variants:
        if variant.precision == "int8" and (where := regions_in_words(variant)):
            lines.append(f"{variant.id} drifts most in: {where}.")
    lines += [f"{v.id} failed. {v.failure.message}" for v in report.variants if v.failure]
    if state := state_in_words(report):
        lines.append(f"Over the run: {state}.")
    if seen := detectable_in_words(report):
        lines.append(f"Smallest difference in latency that 19 of 20 such runs would find: {seen}.")
    lines += [f"Measured again: {reasons}." for reasons in report.validity.discarded]
    lines += [f"Read with care: {reason}." for reason in cautions(report)]
    return "\n".join(map(printable, lines)) + "\n"


def comparison_table(comparison: Comparison) -> str:
    """All reports' tables, each under its name, then what changed against the first."""
    blocks = [
        printable(f"{name} ({report.model.name}, {report.created})") + f"\n{table(report)}"
        for name, report in zip(comparison.names, comparison.reports, strict=True)
    ]
    notes = [printable(f"Note: {unlike}") for unlike in comparison.differences]
    for change in comparison.changes:
        low, high = change.ratio.interval.low, change.ratio.interval.high
        found = difference(change.ratio.detectable)
        told = (
            f"{change.variant} in {comparison.names[change.report]}: {change.verdict} "
            f"({change.ratio.value:.3f}x the latency of {comparison.names[0]}, "
            f"95 % {low:.3f} to {high:.3f}; {found} would have been found)"
        )
        notes.append(printable(told))
    return "\n".join(blocks + (["\n".join(notes) + "\n"] if notes else []))
