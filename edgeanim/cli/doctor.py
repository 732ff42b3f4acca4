"""`edgeanim doctor`."""

from __future__ import annotations

import click

from edgeanim.cli.options import example, json_option, single_option
from edgeanim.cli.output import print_json, say
from edgeanim.cli.progress import TerminalProgress


@click.command("doctor")
@single_option(
    "--on",
    "place",
    default="local",
    metavar="PLACE",
    help="Check that machine instead: ssh://[user@]host[:port].",
    show_default=True,
)
@json_option
@example("edgeanim doctor\nedgeanim doctor --on ssh://pi@pi4")
def command(place: str, as_json: bool) -> None:
    """Check this machine or another: run every backend's smoke test in its own process."""
    from edgeanim.api import doctor_on
    from edgeanim.targets.doctor import none_works

    with TerminalProgress() as progress:
        diagnosis = doctor_on(place, progress=progress)
    if as_json:
        print_json(diagnosis)
    else:
        for check in diagnosis.checks:
            say(f"{check.status:<5} {check.name:<22}{check.detail}")
            if check.hint:
                say(f"{'':<28}{check.hint}")
    if not diagnosis.usable:
        raise none_works(diagnosis)
