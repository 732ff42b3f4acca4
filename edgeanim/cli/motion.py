"""`edgeanim motion`: stored motions, a few numbers a frame, that a board can play."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.endless import until_interrupted
from edgeanim.cli.options import (
    NAME,
    PATH,
    Whole,
    board_option,
    example,
    json_option,
    live_option,
    offering_variants,
    single_option,
    threads_option,
)
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress


@click.group("motion")
@example("edgeanim motion list\nedgeanim motion extract wave.mp4 --bundle demo.eab -o wave.npz")
def command() -> None:
    """Extract a clip's motion into a track, or list the tracks that ship with edgeanim."""


@command.command("list")
@json_option
@example("edgeanim motion list")
def list_tracks(as_json: bool) -> None:
    """List the stored motions that ship with edgeanim."""
    from edgeanim.api import motions

    rows = motions()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row.name:<14}{row.frames:4d} frames at {row.fps:g} a second")


@command.command("extract")
@click.argument("clip", type=NAME, metavar="CLIP|camera:N|-")
@click.option("--bundle", type=PATH, required=True, help="The bundle whose regions follow it.")
@click.option("-o", "--out", type=PATH, required=True, help="The track (.npz) to write.")
@single_option(
    "--variant",
    shell_complete=offering_variants("bundle"),
    help="Which variant follows it [default: the board's].",
)
@click.option("--frames", "limit", type=Whole(2), help="Store at most this many frames.")
@click.option(
    "--smooth/--no-smooth",
    default=True,
    show_default=True,
    help="Smooth jitter out of the motion.",
)
@click.option(
    "--refine",
    is_flag=True,
    help="Adjust the motion until the model's frames are as close to the clip's own as they get: "
    "much closer, but several times slower to store. It plays as fast as any.",
)
@live_option
@board_option
@threads_option
@json_option
@example("""
edgeanim motion extract wave.mp4 --bundle demo.eab -o wave.npz
edgeanim motion extract me.mp4 --bundle mine.eab --refine -o me.npz
""")
def extract(
    clip: str,
    bundle: Path,
    out: Path,
    variant: str | None,
    limit: int | None,
    smooth: bool,
    refine: bool,
    live: bool,
    board: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Follow CLIP with a bundle's regions and store its motion; a camera until Ctrl-C."""
    from edgeanim.api import extract_motion
    from edgeanim.runtime.media import is_live

    with until_interrupted(is_live(clip)) as stop, TerminalProgress() as progress:
        track = extract_motion(
            clip,
            bundle=bundle,
            out=out,
            variant=variant,
            limit=limit,
            smooth=smooth,
            refine=refine,
            live=live,
            stop=stop,
            board=board,
            threads=threads,
            progress=progress,
        )
    if as_json:
        print_json({"path": str(out), "frames": len(track), "fps": track.fps})
        return
    click.echo(f"{len(track)} frames at {track.fps:g} a second: {out}")
