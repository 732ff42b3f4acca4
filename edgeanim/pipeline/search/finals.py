"""The finals of a search: the best trials side by side, in one interleaved run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.results.result import Report, save_report
from edgeanim.benchmarks.runner import BenchOptions
from edgeanim.core.artifact import FLOAT32
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.files import sha256_file
from edgeanim.core.parsing import to_plain
from edgeanim.pipeline.search.order import Result
from edgeanim.pipeline.search.trials import Study
from edgeanim.pipeline.work import kept_report, versions

_FINALISTS = 4
_REPORT_FILE = "report.json"


class _NotKept(Exception):
    """A report that the store is not to have: memory that was short today may not be tomorrow, and
    a machine that was busy or hot may be at rest."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


def final_report(study: Study, ranked: Sequence[Result]) -> Report | None:
    """The finalists of `ranked`, the results within the drift with the fastest first, in one
    interleaved run, kept under all that went into it; `None` if there are none.

    `DeviceFailed` if none of them ran.
    """
    trials = [result.trial for result in finalists(ranked)]
    if not trials:
        return None
    subjects = [study.subject(trial, trial.id) for trial in trials]
    parts = {
        "graphs": [
            [
                subject.id,
                subject.threads,
                *(sha256_file(f) for g in subject.graphs for f in g.files),
            ]
            for subject in subjects
        ],
        "golden": sha256_file(study.golden),
        "board": to_plain(study.work.board),
        "machine": describe().machine,
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        report = study.bench(subjects, BenchOptions(threads=study.work.board.threads))
        if report.failures or not report.validity.valid:
            raise _NotKept(report)
        save_report(folder / _REPORT_FILE, report)

    try:
        folder, _ = study.work.build("optimize", parts, make)
    except _NotKept as error:
        return _with_a_figure(error.report)
    return kept_report(folder / _REPORT_FILE)


def finalists(ranked: Sequence[Result]) -> list[Result]:
    """Of what is within the drift, the fastest first: the fastest, the fastest float form in any
    case, and as a yardstick the model as it came, in float32 on the fastest's backend."""
    chosen = [result for result in ranked if not result.trial.untouched][:_FINALISTS]
    floats = [result for result in ranked if result.trial.quantize is None]
    if floats and floats[0] not in chosen:
        chosen = [*chosen[: _FINALISTS - 1], floats[0]]
    plain = [
        r
        for r in ranked
        if r.trial.floats == FLOAT32 and r.trial.quantize is None and not r.trial.prune.ratio
        if r.trial.backend == chosen[0].trial.backend
    ]
    # Where restructuring changes nothing, none is called untouched: the plain form is.
    untouched = [r for r in plain if r.trial.untouched] or plain
    return chosen + [r for r in untouched[:1] if r not in chosen]


def _with_a_figure(report: Report) -> Report:
    """The report, if any variant ran: where none did, it is not the drift that was too large."""
    if all(variant.failure for variant in report.variants):
        raise DeviceFailed(
            f"No finalist could be measured: {report.failures[0].message}",
            where=report.variants[0].id,
            hint="Run the same command again: every trial so far is kept.",
        )
    return report
