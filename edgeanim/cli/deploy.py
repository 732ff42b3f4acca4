"""`edgeanim deploy`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.options import PATH, example, json_option
from edgeanim.cli.output import print_json, say
from edgeanim.cli.progress import TerminalProgress


@click.command("deploy")
@click.argument("bundle", type=PATH)
@click.option("--to", required=True, metavar="ssh://[user@]host[:port]", help="The board.")
@json_option
@example("edgeanim deploy net.eab --to ssh://pi@pi4")
def command(bundle: Path, to: str, as_json: bool) -> None:
    """Put BUNDLE and edgeanim's own code on a board, test it by playing, and say how to play it.

    Everything goes into ~/.edgeanim there; only changes are sent. It needs the OpenSSH client, a
    key, and Python with edgeanim's base install and a runtime there; anything missing is reported.
    """
    from edgeanim.api import deploy

    with TerminalProgress() as progress:
        deployed = deploy(bundle, to=to, progress=progress)
    if as_json:
        print_json(deployed)
        return
    there = deployed.installed
    shown = "" if there.ssim is None else f" (golden frames: SSIM {there.ssim:.3f})"
    say(f"{there.bundle} plays on {deployed.place} with {there.variant}{shown}.")
    if there.note:
        say(there.note)
    say("Play it there:", f"  {deployed.play}")
