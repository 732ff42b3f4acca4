"""`edgeanim evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.options import (
    NAME,
    PATH,
    Whole,
    board_option,
    example,
    json_option,
    offering_variants,
    single_option,
    threads_option,
)
from edgeanim.cli.output import print_json, say
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import to_plain
from edgeanim.models.shipped_files import SHIPPED


@click.command("evaluate")
@click.argument("model", required=False, default=SHIPPED, metavar="[MODEL]", type=NAME)
@single_option(
    "--variant",
    shell_complete=offering_variants("model"),
    help="Which of a bundle's, e.g. openvino-int8 [default: the board's].",
)
@click.option(
    "--clips",
    type=PATH,
    multiple=True,
    help="A clip, an animation or a folder of them to score too; may be repeated.",
)
@click.option(
    "--names", help="Only these of them, by file name without suffix, separated by commas."
)
@click.option("--dataset", type=PATH, help="Score on its test split too; see `edgeanim dataset`.")
@click.option(
    "--size",
    type=Whole(64, 1024),
    help="Side of the square pictures [default: the largest that the model sees unscaled].",
)
@click.option(
    "--refine",
    is_flag=True,
    help="Refine the motion, as `animate --refine` does; several times slower.",
)
@click.option(
    "--more-stills",
    type=PATH,
    metavar="CLIP|FOLDER",
    help="The character of --clips in other poses, as `animate --more-stills` takes them.",
)
@board_option
@threads_option
@json_option
@example("""
edgeanim evaluate --clips people/ --clips animals/ --clips wave.gif
edgeanim evaluate mine/ --clips another_clip_of_me.mp4
edgeanim evaluate mine.eab --variant openvino-int8 --clips another_clip_of_me.mp4
""")
def command(
    model: str,
    variant: str | None,
    clips: tuple[Path, ...],
    names: str | None,
    dataset: Path | None,
    size: int | None,
    refine: bool,
    more_stills: Path | None,
    board: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score an animator on characters it was never trained on, beside two baselines: the still
    repeated, and the affine warp of the regions alone.

    MODEL is a training's folder or a bundle [default: the shipped animator]; one with regions of
    its own needs --clips or --dataset. The first frame of each is the still, and 12 frames spread
    over the rest drive it; of a clip, the first scene in no more than the first 900 frames. A
    model that carries a state from frame to frame is scored on --clips alone, of which it plays
    every frame.

    The main score is the share won back of the SSIM that the still loses where something moves (0:
    the still, 1: the real frames). Temporal is how far the change since the frame before is off
    there, in levels of 0..255. Ghosts is the opacity of the still where its content has moved away
    (0: none, 1: the still itself); tint is how far the mean colour is off there, in levels. Where
    masks are known, tips are the hands, eyes and mouths that move, with a sharpness of 1 for no
    blur, and mIoU is how well the regions fit; cover is the share of the picture that they take."""
    from edgeanim.api import evaluate
    from edgeanim.report.scores import score_tables

    chosen = tuple(filter(None, map(str.strip, (names or "").split(","))))
    if names is not None and not chosen:
        raise UsageError("This holds no name.", where="--names", hint="Leave it out to score all.")
    with TerminalProgress() as progress:
        found = evaluate(
            model,
            variant=variant,
            clips=clips,
            names=chosen,
            dataset=dataset,
            size=size,
            refine=refine,
            more_stills=more_stills,
            board=board,
            threads=threads,
            progress=progress,
        )
    if as_json:
        won = ({"won": score.won, "won_affine": score.won_affine} for score in found.scores)
        plain = [
            to_plain(s, nulls=True) | share for s, share in zip(found.scores, won, strict=True)
        ]
        print_json({"variant": found.variant, "note": found.note, "scores": plain})
        return
    click.echo(score_tables(found.scores))
    if found.variant:
        say("", f"Played by {found.variant}.")
    if found.note:
        click.echo(found.note, err=True)
