"""A run that circumstances spoiled is measured again, within a limit, and the report says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgeanim.benchmarks.machine.recording import replayed_folder
from edgeanim.benchmarks.results.result import Report
from edgeanim.core.errors import UsageError
from edgeanim.core.progress import SILENT, Progress

MAX_RETRIES = 10


def repeat_until_valid(
    measure: Callable[[], Report], retries: int = 0, progress: Progress = SILENT
) -> Report:
    """The first valid report of `measure`, or the last after `retries` more runs.

    Its validity lists why each run before it was discarded, so that no choice among runs is hidden.
    A replayed recording is as it is and never repeated; nor is a run in which a variant failed.
    """
    if not 0 <= retries <= MAX_RETRIES:
        raise UsageError(f"A run is repeated 0 to {MAX_RETRIES} times, not {retries}.")
    report = measure()
    discarded: list[str] = []
    while len(discarded) < retries and _spoiled(report):
        discarded.append("; ".join(report.validity.reasons))
        progress.stage(f"Again ({len(discarded)} of {retries}): {report.validity.reasons[0]}")
        progress.done()
        report = measure()
    return replace(report, validity=replace(report.validity, discarded=tuple(discarded)))


def _spoiled(report: Report) -> bool:
    return not report.validity.valid and not report.failures and replayed_folder() is None
