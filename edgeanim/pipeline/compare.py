"""`edgeanim compare`: reports side by side, as a table and as a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from edgeanim.benchmarks.results.compare import Comparison, check_gates
from edgeanim.benchmarks.results.compare import compare as compare_reports
from edgeanim.benchmarks.results.gate import parse_gate
from edgeanim.benchmarks.results.result import Report
from edgeanim.core.files import may_become_file, must_spare
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.report.html import write_page


def compare(
    reports: str | Path | Report | Sequence[str | Path | Report],
    *,
    html: str | Path | None = None,
    fail_on: str | Sequence[str] | None = None,
    allow: str | Collection[str] = (),
    progress: Progress = SILENT,
) -> Comparison:
    """Put reports, or those in files, side by side; write a self-contained page to `html`.

    `UsageError` if they are of unlike models, frames or machines, unless `allow` says so.
    `FailedOn` if `fail_on`, or one of several (see `benchmarks.results.gate`), holds for any
    variant; the page is written all the same, and the error carries the comparison.
    """
    given = (reports,) if isinstance(reports, (str, Path, Report)) else reports
    sources = [each if isinstance(each, Report) else Path(each) for each in given]
    allowed = frozenset(one_or_more(allow))
    if html is not None:
        may_become_file(Path(html))
        must_spare(Path(html), [each for each in sources if isinstance(each, Path)])
    asked = () if fail_on is None else one_or_more(fail_on)
    gates = [parse_gate(text) for text in asked]  # before a page is written
    comparison = compare_reports(sources, allow=allowed, progress=progress)
    if html is not None:
        write_page(Path(html), comparison, progress=progress)
    check_gates(comparison, gates)
    return comparison
