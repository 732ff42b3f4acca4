"""`edgeanim project`: what a measured model might take on boards that are not here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.projection import Part, Projected, has_roofs, parts_of
from edgeanim.benchmarks.projection import project as project_parts
from edgeanim.benchmarks.results.result import Report, VariantResult, load_report
from edgeanim.benchmarks.roofline import measure_roof, roof_of
from edgeanim.core.artifact import FLOAT32
from edgeanim.core.errors import DeviceFailed, EdgeanimError, MissingComponent, UsageError
from edgeanim.core.files import must_exist
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.targets.board import Board, load_board
from edgeanim.targets.bundle import SUFFIX

_REPORT = ".json"


def project(
    subject: str | Path | Report,
    boards: str | Path | Sequence[str | Path],
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> tuple[Projected, ...]:
    """Project every variant of `subject`, a bundle or a report (or its file) made on this machine,
    onto `boards`. Left out are those that compute in bfloat16 or float16, of which no roof is
    known, and of each board those in a precision that its file does not list for their runtime.

    A bundle is measured first, briefly. `threads` are those used there: the board's own number by
    default, and at most one for each of its cores. Projections are no measurements: right within a
    factor of two at best. `UsageError` if no variant is left.
    """
    where = None if isinstance(subject, Report) else Path(subject)
    if where is not None:
        _must_be_projectable(where)
    there = [load_board(name) for name in one_or_more(boards)]
    if not there:
        raise UsageError("There is no board to project on.", where="--board")
    roofs = [roof_of(board, threads) for board in there]
    for board in there:
        _say_cores(board, threads, progress)
    report = _report_of(subject if isinstance(subject, Report) else Path(subject), progress)
    known = _with_roofs(report, where, progress)
    variants = [variant for variant in report.variants if variant.id in known]
    chosen = [_run_by(board, variants, progress) for board in there]
    if not any(chosen):
        raise _nothing("the boards run no variant in its precision", where)
    progress.stage("Measure this machine's roof")
    here = measure_roof(saturates=load_board("local").saturates_u8s8)
    here = here.with_threads(report.settings.threads)
    progress.done(f"{here.gflops_fp32:.0f} GFLOP/s, {here.memory_gb_s:.0f} GB/s")
    return tuple(
        project_parts(
            name, known[name], here, roof, board=board.name, budget_ms=board.latency_budget_ms
        )
        for board, roof, names in zip(there, roofs, chosen, strict=True)
        for name in names
    )


def _with_roofs(
    report: Report, where: Path | None, progress: Progress
) -> dict[str, tuple[Part, ...]]:
    """The parts of each variant that ran, but for those of which no roof is known, which are told
    of; `UsageError` if there are no others, and what they failed with if none ran."""
    if len(report.failures) == len(report.variants):
        raise _none_ran(report, where)
    parts = {v.id: parts_of(v) for v in report.variants if v.failure is None}
    known = {name: made for name, made in parts.items() if has_roofs(made)}
    if left_out := sorted(set(parts) - set(known)):
        progress.stage(f"Leave out {', '.join(left_out)}")
        progress.done("no roof is known of what it computes in")
    if not known:
        raise _nothing("no variant that ran computes in float32 or INT8 alone", where)
    return known


def _none_ran(report: Report, where: Path | None) -> EdgeanimError:
    """Why the first variant failed, which says what to do: install its runtime, say."""
    what = report.failures[0].message
    if report.exit_code != MissingComponent.exit_code:
        return DeviceFailed(what, where=where)
    error = MissingComponent(what, extra="", where=where)
    error.hint = None
    return error


def _nothing(why: str, where: Path | None) -> UsageError:
    return UsageError(
        f"Nothing here can be projected: {why}.",
        where=where,
        hint="Compile the model with its float32 variants.",
    )


def _say_cores(board: Board, threads: int | None, progress: Progress) -> None:
    """Tell of threads that a board has no cores for, and that are not counted on."""
    if threads is not None and threads > board.cores:
        progress.stage(f"Project {board.name} with {board.cores} threads")
        progress.done(f"it has no more cores than that for the {threads} asked for")


def _run_by(board: Board, variants: Sequence[VariantResult], progress: Progress) -> list[str]:
    """The variants that `board` runs in their own precision; the others are told of."""
    chosen = []
    for variant in variants:
        entry = board.backend(variant.backend)
        if variant.precision in (FLOAT32, *entry.precisions):
            chosen.append(variant.id)
            continue
        progress.stage(f"Leave out {variant.id} on {board.name}")
        listed = ", ".join(entry.precisions)
        progress.done(
            f"the board's file lists {listed} for {entry.name}. {entry.note or ''}".strip()
        )
    return chosen


def _must_be_projectable(path: Path) -> None:
    """`UsageError` for a file that is neither a bundle nor a report."""
    must_exist(path)
    if path.suffix not in (SUFFIX, _REPORT):
        require_bundle(path)
        raise UsageError(
            "Only a bundle or a report can be projected.",
            where=path,
            hint="Give an .eab, as `edgeanim compile` writes it, or a report that `edgeanim bench` "
            "wrote here.",
        )


def _report_of(subject: Path | Report, progress: Progress) -> Report:
    """The report that was given, if it is of this machine, or one of the bundle, measured now."""
    if isinstance(subject, Path) and subject.suffix != _REPORT:
        from edgeanim.pipeline.bench import bench

        return bench([subject], quick=True, threads=1, progress=progress)
    report = subject if isinstance(subject, Report) else load_report(subject)
    if report.environment.machine != describe().machine:
        raise UsageError(
            "This report was made on another machine, whose roof is not known.",
            where=subject if isinstance(subject, Path) else None,
            hint="Project where it was made, or project the bundle.",
        )
    return report
