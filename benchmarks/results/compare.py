"""Compare reports: only like with like, a verdict only by interval, and gates on any figure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgeanim.benchmarks.machine.circumstances import Validity
from edgeanim.benchmarks.results.differences import (
    ALLOWABLE,
    abridged,
    by_value,
    differences,
    listed,
)
from edgeanim.benchmarks.results.figures import Value, change_figures, figures, validity_figures
from edgeanim.benchmarks.results.gate import Gate
from edgeanim.benchmarks.results.result import Report, VariantResult, load_report
from edgeanim.benchmarks.timing.stats import Ratio, paired_ratio, ratio_of_medians, resampled_median
from edgeanim.core.errors import GateFailed, UsageError
from edgeanim.core.parsing import nearest
from edgeanim.core.progress import SILENT, Progress

# How a variant's change is called, by the verdict on the ratio of its latencies.
_CALLED = {"higher": "slower", "lower": "faster", "no difference": "no difference"}
# A report's name, a variant's id and its figures.
_Table = tuple[str, str, dict[str, Value]]
# What a figure can be even where no variant has it now.
_POSSIBLE: Mapping[str, Collection[str]] = {"change.verdict": tuple(_CALLED.values())}


@dataclass(frozen=True)
class Change:
    """One variant in a report against the same variant in the first report.

    `ratio` is the latency's, this one's over the first one's; above 1 is slower. `verdict` is
    `slower`, `faster` or `no difference`.
    """

    report: int
    variant: str
    ratio: Ratio
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Reports side by side. `differences` are the unlike things that were allowed, those that need
    not be (threads, board, versions, variants), and a run that was given twice; `folders` where
    each report lies, and its pictures with it, `None` for one that is in memory only."""

    names: tuple[str, ...]
    reports: tuple[Report, ...]
    folders: tuple[Path | None, ...]
    differences: tuple[str, ...]
    changes: tuple[Change, ...]


class FailedOn(GateFailed):
    """What `--fail-on` asked for came true; `comparison` has all the figures."""

    def __init__(self, what: str, comparison: Comparison) -> None:
        super().__init__(what, hint="See the report for each figure.")
        self.comparison = comparison


def compare(
    sources: Sequence[Path | Report],
    *,
    allow: Collection[str] = frozenset(),
    progress: Progress = SILENT,
) -> Comparison:
    """Put reports (or their paths) side by side.

    `UsageError` if they are of unlike models, frames or machines, unless `allow` has that word.
    """
    if not sources:
        raise UsageError("There is no report to compare.")
    for word in allow:
        if word not in ALLOWABLE:
            raise UsageError(f"--allow does not know {word!r}.", hint=nearest(word, ALLOWABLE))
    reports = _read(sources, progress)
    names = _names(sources)
    folders = tuple(None if isinstance(s, Report) else s.parent for s in sources)
    unlike = differences(names, reports, allow)
    return Comparison(names, reports, folders, unlike, _changes(reports, progress))


def ratio_within(report: Report, numerator: str, denominator: str) -> Ratio:
    """Latency ratio of two variants of one report, from blocks that ran side by side."""
    above, below = report.variant(numerator), report.variant(denominator)
    if above is None or below is None or above.latency is None or below.latency is None:
        raise UsageError(f"{numerator!r} and {denominator!r} were not both measured.")
    return paired_ratio(
        [process.blocks_ms for process in above.samples],
        [process.blocks_ms for process in below.samples],
    )


def check_gate(comparison: Comparison, gate: Gate) -> None:
    """`FailedOn` if the gate fails any variant of any report; one that asks for a change
    (`change.verdict == 'slower'`) looks at the reports after the first, and at every variant that
    one of them or the first has. `UsageError` if it picks out what no variant is (`id == 'a
    mistyped one'`): it would pass without looking at anything."""
    check_gates(comparison, [gate])


def check_gates(comparison: Comparison, gates: Sequence[Gate]) -> None:
    """`FailedOn` that tells of every gate that fails; see `check_gate`."""
    failed = [told for gate in gates if (told := _failed(comparison, gate)) is not None]
    if failed:
        raise FailedOn(" ".join(failed), comparison)


def _failed(comparison: Comparison, gate: Gate) -> str | None:
    """Where the gate fails, and why; `None` if it does nowhere."""
    tables = _tables(comparison, gate)
    _refuse_unknown(gate, tables)
    # A figure that one variant has (a stage, say) and another has not is missing, not unknown.
    every: dict[str, Value] = {name: None for _, _, table in tables for name in table}
    failures = [
        (name, variant, reason)
        for name, variant, table in tables
        if (reason := gate.failure(every | table)) is not None
    ]
    return f"The gate {gate.text!r} failed {_where(failures)}." if failures else None


def _tables(comparison: Comparison, gate: Gate) -> list[_Table]:
    """The figures that the gate looks at."""
    of_changes = any(name.startswith("change.") for name in gate.expression.names())
    if of_changes and len(comparison.reports) == 1:
        raise UsageError(
            "A change is from the first report to another, and needs a second report.",
            where=f"--fail-on {gate.text}",
            hint="Name both: edgeanim compare before.json after.json",
        )
    return list((_changed if of_changes else _plain)(comparison))


def _refuse_unknown(gate: Gate, tables: Sequence[_Table]) -> None:
    """`UsageError` for a text that the gate looks for and that no variant has."""
    for figure, text in sorted(gate.expression.picks()):
        known = {str(table[figure]) for _, _, table in tables if table.get(figure) is not None}
        known |= set(_POSSIBLE.get(figure, ()))
        if known and text not in known:
            raise UsageError(
                f"No variant has {text!r} as its {figure}.",
                where=f"--fail-on {gate.text}",
                hint=nearest(text, sorted(known)),
            )


def _where(failures: Sequence[tuple[str, str, str]]) -> str:
    """Where a gate failed (report, variant and reason), each report with its variants, and reports
    of which there is the same to say together."""
    reports: dict[str, dict[str, list[str]]] = {}
    for name, variant, reason in failures:
        reports.setdefault(name, {}).setdefault(reason, []).append(variant)
    of_each = (
        (name, ", ".join(f"{listed(variants)} ({why})" for why, variants in reasons.items()))
        for name, reasons in reports.items()
    )
    parts = abridged(
        by_value(of_each), lambda what, n: f"in {listed(n)} for {what}", "and in {} more"
    )
    return "; ".join(parts)


def _plain(comparison: Comparison) -> Iterator[_Table]:
    for name, report in zip(comparison.names, comparison.reports, strict=True):
        for variant in report.variants:
            yield name, variant.id, figures(variant) | validity_figures(report.validity)


def _changed(comparison: Comparison) -> Iterator[_Table]:
    """The tables of the reports after the first, with the changes. A variant that only the first
    has is one of theirs, of which nothing was measured: what is lost must not pass. A change is as
    reliable as both runs: what spoiled the first one counts, too."""
    first = comparison.reports[0]
    changes = {(change.report, change.variant): change for change in comparison.changes}
    unknown = change_figures(None, None)
    for index, report in enumerate(comparison.reports[1:], start=1):
        circumstances = validity_figures(_of_both(first.validity, report.validity))
        for variant in report.variants:
            change = changes.get((index, variant.id))
            known = figures(variant) | circumstances
            found = change_figures(change.ratio, change.verdict) if change else unknown
            yield comparison.names[index], variant.id, known | found
        for variant in first.variants:
            if report.variant(variant.id) is None:
                known = {name: getattr(variant, name) for name in ("id", "backend", "precision")}
                yield comparison.names[index], variant.id, known | circumstances | unknown


def _of_both(one: Validity, other: Validity) -> Validity:
    return Validity(
        valid=one.valid and other.valid,
        reasons=one.reasons + other.reasons,
        discarded=one.discarded + other.discarded,
    )


def _names(sources: Sequence[Path | Report]) -> tuple[str, ...]:
    return tuple(
        f"report {i + 1}" if isinstance(source, Report) else source.as_posix()
        for i, source in enumerate(sources)
    )


def _read(sources: Sequence[Path | Report], progress: Progress) -> tuple[Report, ...]:
    reports = []
    progress.stage("Read the reports", len(sources))
    for source in sources:
        reports.append(source if isinstance(source, Report) else load_report(source))
        progress.step()
    progress.done()
    return tuple(reports)


def _changes(reports: Sequence[Report], progress: Progress) -> tuple[Change, ...]:
    if len(reports) == 1:
        return ()
    first = {variant.id: variant for variant in reports[0].variants if variant.latency is not None}
    # Every report is held against the first one, whose resamples are drawn once.
    drawn = cache(lambda name: resampled_median(_processes(first[name]), stream=1))
    changes = []
    progress.stage("Compare with the first", len(reports) - 1)
    for index, report in enumerate(reports[1:], start=1):
        progress.step()
        for variant in report.variants:
            if variant.latency is None or variant.id not in first:
                continue
            own = resampled_median(_processes(variant), stream=0)
            ratio = ratio_of_medians(own, drawn(variant.id))
            changes.append(Change(index, variant.id, ratio, _CALLED[ratio.verdict]))
    progress.done()
    return tuple(changes)


def _processes(variant: VariantResult) -> list[list[float]]:
    return [process.times_ms for process in variant.samples]
