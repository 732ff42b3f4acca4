"""`edgeanim doctor`."""

from __future__ import annotations

import click

from edgeanim.cli.common import example, json_option, print_json


@click.command("doctor")
@json_option
@example("edgeanim doctor")
def command(as_json: bool) -> None:
    """Check this machine, and run every backend's smoke test in a process of its own."""
    from edgeanim.api import doctor
    from edgeanim.core.errors import MissingComponent

    diagnosis = doctor()
    if as_json:
        print_json(diagnosis)
    else:
        for check in diagnosis.checks:
            click.echo(f"{check.status:<5} {check.name:<22}{check.detail}")
            if check.hint:
                click.echo(f"{'':<28}{check.hint}")
    if not diagnosis.usable:
        raise MissingComponent("No backend works on this machine.", extra="onnxruntime")
