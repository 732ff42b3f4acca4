"""`edgeanim backends`."""

from __future__ import annotations

import click

from edgeanim.cli.options import example, json_option
from edgeanim.cli.output import print_json


@click.command("backends")
@json_option
@example("edgeanim backends")
def command(as_json: bool) -> None:
    """List the backends, and whether each can run on this machine."""
    from edgeanim.api import backends

    rows = backends()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = row.version or f"not available: {row.reason}"
        click.echo(f"{row.name:<14}{state}")
        if row.note:
            click.echo(f"{'':<14}{row.note}")
        if row.version is None and row.install:
            click.echo(f"{'':<14}{row.install}")
