"""`edgeanim project`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.options import PATH, Whole, example, json_option, offering_boards, single_option
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.choices import MAX_THREADS


@click.command("project")
@click.argument("subject", metavar="BUNDLE|REPORT.json", type=PATH)
@click.option(
    "--board", "boards", multiple=True, required=True, metavar="NAME|FILE.toml",
    shell_complete=offering_boards, help="A board with peaks in its file; may be repeated.",
)  # fmt: skip
@single_option(
    "--threads",
    type=Whole(1, MAX_THREADS),
    help="Threads used there, at most one a core [default: the board's].",
)
@json_option
@example("edgeanim project net.eab --board raspberry-pi-4 --board raspberry-pi-5")
def command(subject: Path, boards: tuple[str, ...], threads: int | None, as_json: bool) -> None:
    """Project the time of a frame on a board that is not here. Never a measurement.

    A roofline from what executed on this machine and the board's peaks, calibrated on public
    figures of a known net: right within a factor of two at best, and always labelled so.
    """
    from edgeanim.api import project
    from edgeanim.report.projection import projection_table

    with TerminalProgress() as progress:
        projections = project(subject, boards, threads=threads, progress=progress)
    if as_json:
        print_json(projections)
    else:
        click.echo(projection_table(projections))
