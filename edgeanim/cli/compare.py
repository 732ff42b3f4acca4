"""`edgeanim compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import PATH, example, json_option
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress

if TYPE_CHECKING:
    from edgeanim.benchmarks.results.compare import Comparison


@click.command("compare")
@click.argument("reports", nargs=-1, required=True, type=PATH, metavar="REPORT...")
@click.option("--html", type=PATH, metavar="FILE", help="Also write a self-contained page.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 1 if true for any variant, e.g. 'latency.p90_ms > 50 or "
    "drift.ssim_mean < 0.98'; may be repeated.",
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["model", "frames", "machine"]),
    help="Compare even if these differ; may be repeated.",
)
@json_option
@example(
    "edgeanim compare pi4.json pi5.json --allow machine --html boards.html\n"
    "edgeanim compare report.json --fail-on 'latency.p90_ms > 50'\n"
    "edgeanim compare before.json after.json --fail-on \"change.verdict == 'slower'\""
)
def command(
    reports: tuple[Path, ...],
    html: Path | None,
    fail_on: tuple[str, ...],
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare any number of reports as a table, and as a page.

    Refuses to compare unlike things (another model, other frames, another machine) unless told to.

    A CONDITION compares a variant's figures, by the names that they have in the report
    (`latency.p90_ms`, `drift.ssim_mean`, `memory.…`, `speedup.…`, `validity.valid`), and may use
    `and`, `or`, `not` and brackets. A figure that was not measured fails it. Each variant's change
    in latency is that from the first report; a gate on it (`change.ratio`, `change.interval.low`,
    `change.verdict`) also fails where a variant has gone.
    """
    from edgeanim.api import compare
    from edgeanim.benchmarks.results.compare import FailedOn

    try:
        with TerminalProgress() as progress:
            comparison = compare(
                list(reports), html=html, fail_on=fail_on, allow=set(allow), progress=progress
            )
    except FailedOn as error:
        _show(error.comparison, html, as_json=as_json)
        raise
    _show(comparison, html, as_json=as_json)


def _show(comparison: Comparison, html: Path | None, *, as_json: bool) -> None:
    from edgeanim.report.table import comparison_table

    if as_json:
        print_json(comparison)
        return
    click.echo(comparison_table(comparison))
    if html:
        click.echo(f"Page: {html}")
