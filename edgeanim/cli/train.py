"""`edgeanim train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import NAME, PATH, Whole, example, json_option, single_option
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.choices import MAX_THREADS
from edgeanim.core.errors import UsageError

if TYPE_CHECKING:
    from edgeanim.models.training.config import Device
    from edgeanim.pipeline.training import Learned


@click.command("train")
@click.argument("config", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, required=True, help="The folder for weights and sheets.")
@single_option("--clips", type=PATH, help="A clip of your own character, or a folder of clips.")
@click.option(
    "--from",
    "start",
    type=NAME,
    metavar="shipped|FOLDER",
    help="With --clips: the weights to start from [default: shipped].",
)
@single_option("--threads", type=Whole(1, MAX_THREADS), help="With --clips: threads [default: 2].")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the networks are trained.",
)
@click.option(
    "--workers",
    type=Whole(0, 256),
    default=0,
    show_default=True,
    help="Processes that draw batches for an accelerator, about the number of cores less two "
    "(Linux); 0 is a thread, enough for a CPU.",
)
@json_option
@example(
    """edgeanim train animator.toml -o runs/animator
edgeanim train animator.toml -o runs/animator --device cuda --workers 6
edgeanim train --from shipped --clips my_character.mp4 -o runs/mine"""
)
def command(
    config: Path | None,
    out: Path,
    clips: Path | None,
    start: str | None,
    threads: int | None,
    device: Device,
    workers: int,
    as_json: bool,
) -> None:
    """Train an animator by CONFIG.toml: first its regions, then its generator against a
    discriminator. With --clips, adapt a trained one to your own character: a quarter of an hour at
    most on two cores. If killed, the same command resumes from the last checkpoint."""
    from edgeanim.api import adapt, train
    from edgeanim.models.shipped_files import WEIGHTS

    if (config is None) == (clips is None):
        raise UsageError("Give either a CONFIG.toml or --clips with your own character.")
    if clips is None and (start or threads):
        raise UsageError(
            "--from and --threads go with --clips.", hint="A configuration has `start`, `threads`."
        )
    learned: tuple[Learned, ...] | None = None
    with TerminalProgress() as progress:
        if clips is None:
            train(str(config), out, device=device, workers=workers, progress=progress)
        else:
            learned = adapt(
                clips,
                out,
                start=start or "shipped",
                threads=threads or 2,
                device=device,
                workers=workers,
                progress=progress,
            ).clips
    if as_json:
        scores = {} if learned is None else {"clips": learned}
        print_json({"weights": str(out / WEIGHTS), **scores})
        return
    for clip in learned or ():
        click.echo(f"{clip.name}: won back {_share(clip.before)} before, {_share(clip.after)} now")
    if learned:
        click.echo("It learned these very frames: `edgeanim evaluate` on another clip tells more.")
    click.echo(f"Weights: {out / WEIGHTS}")


def _share(won: float | None) -> str:
    return "nothing (nothing moves)" if won is None else f"{won:.2f}"
