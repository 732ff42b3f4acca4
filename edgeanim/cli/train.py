"""`edgeanim train`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.common import PATH, TerminalProgress, example


@click.command("train")
@click.argument("config", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The folder for weights and sheets.")
@example("edgeanim train animator.toml -o runs/animator")
def command(config: Path, out: Path) -> None:
    """Train an animator by CONFIG.toml: first its regions, then its generator against a
    discriminator. Killed, it goes on from its last checkpoint."""
    from edgeanim.api import train

    progress = TerminalProgress()
    train(config, out, progress=progress)
    progress.close()
    click.echo(f"Weights: {out / 'animator.safetensors'}")
