"""`edgeanim dataset`: training material in one form: make it, import it, look at it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import PATH, Whole, example, json_option
from edgeanim.cli.output import print_json, say
from edgeanim.cli.progress import TerminalProgress

if TYPE_CHECKING:
    from edgeanim.models.data.clips.importers import Fit
    from edgeanim.models.dataset.form import Manifest, Split

_split_option = click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="The split of new sequences [default: by each identity's hash, 8:1:1].",
)
_out_option = click.option(
    "-o", "--out", type=PATH, required=True, help="The dataset folder, new or to be extended."
)


@click.group("dataset")
@example(
    "edgeanim dataset make -o data --puppets 1000 --scenes 500\n"
    "edgeanim dataset import wave.mp4 -o data --identity anna --licence 'CC BY 4.0'\n"
    "edgeanim dataset show data -o sheet.png"
)
def command() -> None:
    """Make, import and show training material.

    All of it has one format: pictures, masks where known, and a manifest with each sequence's
    source, licence, hash and split. All sequences of one character stay in one split.
    """


@command.command("make")
@_out_option
@click.option(
    "--puppets", type=Whole(0), default=0, show_default=True, help="Number of plain puppets."
)
@click.option(
    "--scenes", type=Whole(0), default=0, show_default=True, help="Number of harder scenes."
)
@click.option(
    "--people", type=Whole(0), default=0, show_default=True, help="Number of modelled people."
)
@click.option(
    "--sketches", type=Whole(0), default=0, show_default=True, help="Number of drawn characters."
)
@click.option("--photographs", type=PATH, help="A folder of pictures used in scenes and on people.")
@click.option(
    "--drawings", type=PATH, help="A drawing (texture, mask, joints) or a folder of them."
)
@click.option(
    "--motions", type=PATH, help="A BVH file that moves drawings and sketches, or a folder."
)
@click.option(
    "--takes",
    type=Whole(1),
    default=1,
    show_default=True,
    help="How often each drawing performs each motion, in varied positions.",
)
@click.option(
    "--moments",
    type=Whole(1, 1000),
    default=4,
    show_default=True,
    help="Moments of each motion; each gives a frame and the one before it.",
)
@click.option(
    "--first-seed",
    type=Whole(0),
    default=1000,
    show_default=True,
    help="Seed of the first sequence of each kind; the others count on from it.",
)
@_split_option
@json_option
@example(
    "edgeanim dataset make -o data --scenes 500 --people 500 --sketches 500\n"
    "edgeanim dataset make -o data --drawings drawings --motions motion --takes 5"
)
def make(
    out: Path,
    puppets: int,
    scenes: int,
    people: int,
    sketches: int,
    photographs: Path | None,
    drawings: Path | None,
    motions: Path | None,
    takes: int,
    moments: int,
    first_seed: int,
    split: Split | None,
    as_json: bool,
) -> None:
    """Draw puppets, scenes, people and sketches, and move drawings by motion capture.

    Run it again to resume after an interruption, or with higher counts to add sequences.
    """
    from edgeanim.api import make_dataset

    with TerminalProgress() as progress:
        manifest = make_dataset(
            out,
            puppets=puppets,
            scenes=scenes,
            people=people,
            sketches=sketches,
            moments=moments,
            first_seed=first_seed,
            photographs=photographs,
            drawings=drawings,
            motions=motions,
            takes=takes,
            split=split,
            progress=progress,
        )
    _say(out, manifest, as_json)


@command.command("import")
@click.argument("paths", nargs=-1, required=True, type=PATH)
@_out_option
@click.option("--identity", help="The character that all PATHS show [default: one per file].")
@click.option("--licence", help="Its licence [default: a licence file beside it, or unknown].")
@click.option("--source", help="Its source, e.g. a URL [default: the file's name].")
@click.option("--cell", metavar="WxH", help="PATHS are sprite sheets with cells of this size.")
@click.option("--rows", is_flag=True, help="Each row of a sprite sheet is a separate sequence.")
@click.option(
    "--fit",
    type=click.Choice(["crop", "pad"]),
    help="Keep the middle square or the whole picture [default: crop; pad for drawn animations and "
    "what is on a plain ground].",
)
@click.option("--every", type=Whole(1), default=1, show_default=True, help="Take every Nth frame.")
@click.option(
    "--limit",
    type=Whole(2, 20_000),
    default=2000,
    show_default=True,
    help="At most this many frames of each.",
)
@_split_option
@json_option
@example(
    "edgeanim dataset import anna/*.mp4 -o data --identity anna --licence 'CC BY 4.0'\n"
    "edgeanim dataset import boar.png -o data --cell 239x178"
)
def import_(
    paths: tuple[Path, ...],
    out: Path,
    identity: str | None,
    licence: str | None,
    source: str | None,
    cell: str | None,
    rows: bool,
    fit: Fit | None,
    every: int,
    limit: int,
    split: Split | None,
    as_json: bool,
) -> None:
    """Import clips, animated GIF, WebP and PNG, folders of frames, or sprite sheets."""
    from edgeanim.api import import_dataset

    with TerminalProgress() as progress:
        manifest = import_dataset(
            paths,
            out,
            identity=identity,
            licence=licence,
            source=source,
            cell=_parse_cell(cell),
            rows=rows,
            fit=fit,
            every=every,
            limit=limit,
            split=split,
            progress=progress,
        )
    _say(out, manifest, as_json)


@command.command("show")
@click.argument("dataset", type=PATH)
@click.option("-o", "--out", type=PATH, help="A contact sheet (.png), masks painted over frames.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Only this split.")
@click.option(
    "--count", type=Whole(1, 200), default=12, show_default=True, help="Rows of the sheet."
)
@json_option
@example("edgeanim dataset show data -o sheet.png --split val")
def show(dataset: Path, out: Path | None, split: Split | None, count: int, as_json: bool) -> None:
    """Say what DATASET holds, and draw a contact sheet of it."""
    from edgeanim.api import show_dataset

    with TerminalProgress() as progress:
        rows = show_dataset(dataset, out, split=split, count=count, progress=progress)
    if as_json:
        print_json(rows)
        return
    say(f"{'kind':<10} {'split':<6} {'sequences':>9} {'characters':>10} {'frames':>7}  licence")
    for row in rows:
        say(
            f"{row.kind:<10} {row.split:<6} {row.sequences:9d} {row.identities:10d} "
            f"{row.frames:7d}  {', '.join(row.licences)}"
        )
    if out is not None:
        say(f"Sheet: {out}")


def _parse_cell(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise click.BadParameter("a cell is width x height, like 64x48", param_hint="--cell")
    return int(match[1]), int(match[2])


def _say(out: Path, manifest: Manifest, as_json: bool) -> None:
    sequences, frames = len(manifest.sequences), sum(e.frames for e in manifest.sequences)
    if as_json:
        print_json({"path": str(out), "sequences": sequences, "frames": frames})
        return
    one = "1 sequence" if sequences == 1 else f"{sequences} sequences"
    say(f"{one}, {frames} frames: {out}")
