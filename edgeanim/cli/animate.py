"""`edgeanim animate`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.endless import until_interrupted
from edgeanim.cli.options import (
    NAME,
    PATH,
    Number,
    Whole,
    board_option,
    example,
    input_option,
    json_option,
    live_option,
    offering,
    offering_variants,
    single_option,
    threads_option,
)
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.choices import MAX_STRENGTH, MIN_SIDE
from edgeanim.core.errors import UsageError, printable
from edgeanim.core.parsing import parse_inputs

if TYPE_CHECKING:
    from edgeanim.api import Animated

# Of the picture: people who stay where they are sway by 0.04 at most, who steps aside goes 0.09.
_FAR = 0.06


def _tracks() -> Iterable[str]:
    from edgeanim.models.shipped_files import shipped_tracks

    return shipped_tracks()


@click.command("animate")
@click.argument("bundle", type=PATH)
@click.option(
    "--still",
    type=PATH,
    help="The picture to animate; not for a model that redraws each frame of a clip.",
)
@click.option(
    "--more-stills",
    type=PATH,
    metavar="CLIP|FOLDER",
    help="The same character in other poses, from the same place: a clip or a folder of pictures, "
    "of which up to 16 are taken, evenly spread. Each frame is made of the still that is nearest "
    "in pose, so that hands, say, are as sharp as they are there. Without --still the first of "
    "them is it.",
)
@click.option(
    "--drive",
    type=NAME,
    metavar="CLIP|TRACK|camera:N|-",
    shell_complete=offering(_tracks, or_file=True),
    help="What moves it: a clip, a GIF, a folder of frames, a stored motion (.npz, or a name that "
    "`edgeanim motion list` gives), a camera, which is followed until Ctrl-C, or - for frames that "
    "another program pipes in, as YUV4MPEG2. Not needed if an --input has a value for each frame.",
)
@click.option(
    "-o",
    "--out",
    type=NAME,  # a `Path` would lose the / that makes it a folder
    required=True,
    help="A .gif, .webp, .png, .webm or .mp4 file (browsers do not play this .mp4), or a folder; - "
    "for standard output, for a player to show it live. A still's transparency is kept, except in "
    ".webm, in .mp4 and on standard output, which show it on white.",
)
@click.option(
    "--size",
    type=Whole(MIN_SIDE),
    metavar="PIXELS",
    help="The longer side of what is written, at most: a larger still is scaled down. Time and "
    "memory grow with the still's pixels, so a photograph takes many times what the networks do "
    "[default: the still's own].",
)
@single_option(
    "--variant",
    shell_complete=offering_variants("bundle"),
    help="Which variant to run, e.g. openvino-int8 [default: the board's].",
)
@click.option(
    "--fps",
    type=Number(1, 240),
    help="Output frame rate, at most 50 in a GIF [default: the driver's]. The motion "
    "keeps its speed; a folder of frames, which has no rate of its own, is played whole.",
)
@click.option("--frames", "limit", type=Whole(1), help="Write at most this many frames.")
@click.option(
    "--smooth/--no-smooth",
    default=None,
    help="Smooth jitter out of the motion, looking one frame ahead [default: on for clips and "
    "cameras, off for stored motions].",
)
@click.option(
    "--refine",
    is_flag=True,
    help="Follow a clip or camera more closely: adjust each motion until what the model makes of "
    "the driver's own first frame looks like the frame that shows it. A frame takes about eight "
    "times as long; `motion extract --refine` does it once for all.",
)
@click.option("--loop", is_flag=True, help="Restart whenever it ends, until Ctrl-C.")
@live_option
@click.option(
    "--absolute",
    is_flag=True,
    help="Point the still's limbs where the driver's point, instead of turning them as far; for a "
    "model without a skeleton, use the driver's motion unchanged.",
)
@click.option(
    "--in-place",
    is_flag=True,
    help="Keep the still's body where it is, however the driver walks about or sways; needs a "
    "model with a skeleton.",
)
@click.option(
    "--strength",
    type=Number(0, MAX_STRENGTH, min_open=True),
    default=1.0,
    show_default=True,
    help="How far the still moves from its own pose: 2 is twice as far, 0.5 half as far. Needs a "
    "model with a skeleton.",
)
@board_option
@threads_option
@input_option
@json_option
@example("""
edgeanim animate demo.eab --still me.png --drive wave -o me.gif
edgeanim animate demo.eab --still me.png --drive camera:0 -o - | ffplay -
edgeanim animate demo.eab --still me.png --more-stills me.mp4 --drive dance.mp4 -o me.webm
edgeanim animate demo.eab --still me.png --drive dance.mp4 --refine -o me.mp4
ffmpeg -i clip.mts -f yuv4mpegpipe - | edgeanim animate demo.eab --still me.png --drive - -o me.gif
edgeanim animate talk.eab --still me.png --input pose=poses.npy -o talk.gif
ffmpeg -i me.webm -i dance.mp4 -map 0:v -map 1:a -c:v copy danced.webm
""")
def command(
    bundle: Path,
    still: Path | None,
    more_stills: Path | None,
    drive: str | None,
    out: str,
    size: int | None,
    variant: str | None,
    fps: float | None,
    limit: int | None,
    smooth: bool | None,
    refine: bool,
    loop: bool,
    live: bool,
    absolute: bool,
    in_place: bool,
    strength: float,
    board: str,
    threads: int | None,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Animate a still with BUNDLE, offline, or redraw the frames of a clip.

    Without --variant it plays the board's first backend that runs here, in INT8 where that is right
    on this processor. `bench` says which variant is fastest. Frames are read, followed, made and
    written at the same time, as far as there are cores. What is written has no sound: the last
    example adds that of a clip.
    """
    from edgeanim.api import animate
    from edgeanim.core.threads import opencv_threads
    from edgeanim.runtime.media import STANDARD_INPUT, STANDARD_OUTPUT, is_live

    shown = out == STANDARD_OUTPUT
    if shown and as_json:
        raise UsageError(
            "Standard output cannot hold frames and JSON.",
            where="--json",
            hint="Leave it out, or write the frames to a file.",
        )
    endless = loop or (drive is not None and is_live(drive))
    with (
        until_interrupted(endless, shown=shown) as stop,
        TerminalProgress() as progress,
        opencv_threads(threads),
    ):
        result = animate(
            bundle,
            still=still,
            more_stills=more_stills,
            drive=drive,
            out=out,
            size=size,
            variant=variant,
            fps=fps,
            limit=limit,
            relative=not absolute,
            smooth=smooth,
            refine=refine,
            in_place=in_place,
            strength=strength,
            loop=loop,
            live=live,
            stop=stop,
            board=board,
            threads=threads,
            inputs=parse_inputs(inputs),
            progress=progress,
        )
    if as_json:
        print_json(result)
    else:
        _tell(result, shown)
        if paced := _paced(result, piped=drive == STANDARD_INPUT, refine=refine):
            click.echo(paced, err=True)


def _paced(result: Animated, *, piped: bool, refine: bool) -> str | None:
    """How it kept up with time, if it did not."""
    if not (result.left_out or result.behind):
        return None
    quicker = " Without --refine a frame takes about an eighth of the time." if refine else ""
    if result.left_out:
        return f"{result.left_out} frames came while others were followed: left out.{quicker}"
    slow = f"That is less than the {result.fps:g} frames/s that are to be shown"
    if piped:
        return f"{slow}. If a camera is behind the pipe, --live leaves out what is late.{quicker}"
    kept = int(result.frames_per_s)
    return (
        f"{slow}, so a player shows it slowly."
        + (f" With --fps {kept} the motion keeps its speed." if kept else "")
        + quicker
    )


def _tell(result: Animated, shown: bool) -> None:
    """What was written, and what to know of it."""
    from edgeanim.report.words import telling

    where = "" if shown else f": {result.path}"
    frames = f"{result.frames} frame{'s' if result.frames != 1 else ''}"
    click.echo(
        f"{frames} by {result.variant}, {telling(result.frames_per_s)} frames/s{where}",
        err=shown,
    )
    if result.note:
        click.echo(result.note, err=True)
    if result.not_found:
        names = printable("; ".join(result.not_found))
        click.echo(f"Not found in the still, and so not moved: {names}.", err=True)
    if result.body_way > _FAR:
        click.echo(
            f"The driver's body moves by {result.body_way:.0%} of the picture. Where that tears "
            "the still, --in-place keeps it where it is.",
            err=True,
        )
    if result.reference_s:
        click.echo(
            f"The motion is carried over from {result.reference_s:.2f} s on, where its pose is "
            "nearest to the still's, so the animation does not begin with the still.",
            err=True,
        )
