"""`edgeanim prune`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import (
    NAME,
    Number,
    Whole,
    board_option,
    calib_option,
    example,
    input_option,
    json_option,
    model_folder_option,
    offering_backends,
    parse_milliseconds,
    read_recipe,
    recipe_option,
    settings,
    single_option,
)
from edgeanim.cli.output import print_json, say, warn, warn_unless_held_out
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import parse_inputs
from edgeanim.core.recipe import PruneSpec

if TYPE_CHECKING:
    from edgeanim.pipeline.frames.given import Frames
    from edgeanim.pipeline.prune import Pruned


@click.command("prune")
@click.argument("model", type=NAME)
@calib_option(
    "Real frames like those that it will animate, to fit and recover on; the shipped animator has "
    "its own."
)
@model_folder_option
@click.option(
    "--ratio", type=Number(0, 0.9, min_open=True), help="How much to remove [default: 0.25]."
)
@click.option(
    "--of",
    type=click.Choice(["channels", "macs", "time"]),
    default="macs",
    show_default=True,
    help="What the ratio counts: a frame's multiply-accumulates or its layers' measured time, "
    "removed where it changes the frames least; or channels, equally in every group.",
)
@click.option(
    "--max-latency",
    metavar="MS",
    help="Instead of a ratio: prune just until a frame takes no longer here, e.g. 20ms.",
)
@click.option(
    "--importance",
    type=click.Choice(["reconstruction", "taylor", "magnitude", "random"]),
    default="reconstruction",
    show_default=True,
    help="Which channels go first: those that other channels make up for best, measured in the "
    "frames; those with least effect on the frames by themselves; or those with small weights.",
)
@click.option(
    "--rounds",
    type=Whole(1, 20),
    default=3,
    show_default=True,
    help="Prune in this many rounds; each refits all layers to the unpruned outputs.",
)
@click.option(
    "--steps",
    type=Whole(0),
    default=200,
    show_default=True,
    help="Training steps for recovery, after the rounds.",
)
@click.option(
    "--learning-rate",
    type=Number(0, 1, min_open=True, max_open=True),
    default=3e-4,
    show_default=True,
    help="Of the recovery, relative to each parameter's own size; too high a rate undoes the fit.",
)
@click.option(
    "--frames",
    type=Whole(2),
    help="Of --calib, to fit and recover on [default: as many as --ratio and --steps call for, at "
    "most 1024].",
)
@click.option(
    "--round-to",
    type=Whole(1),
    help="Keep channels in multiples of this [default: the board's].",
)
@click.option(
    "--seed", type=Whole(0), default=0, show_default=True, help="Seed of all random choices."
)
@single_option(
    "--backend",
    default="all",
    shell_complete=offering_backends,
    help="Where times are measured [default: the board's first].",
)
@recipe_option
@board_option
@input_option
@json_option
@example(
    "edgeanim prune net.onnx --calib photos/ --ratio 0.3 -o pruned/\n"
    "edgeanim prune shipped --ratio 0.5 --steps 1000 -o pruned/\n"
    "edgeanim prune shipped --of time --max-latency 15ms -o pruned/"
)
def command(
    model: str,
    calib: str | Frames | None,
    out: Path,
    ratio: float | None,
    of: str,
    max_latency: str | None,
    importance: str,
    rounds: int,
    steps: int,
    learning_rate: float,
    frames: int | None,
    round_to: int | None,
    seed: int,
    backend: str,
    recipe: Path | None,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Remove whole channels from MODEL, then recover by distillation from the unpruned net.

    Prints how far the result drifts from the unpruned model on held-out frames, and sets no limit
    to it: `edgeanim optimize` does. MODEL is an .onnx, a .pt2, a model folder or `shipped`.
    """
    from edgeanim.api import prune

    spec = _spec(
        {
            "of": of,
            "importance": importance,
            "rounds": rounds,
            "steps": steps,
            "learning_rate": learning_rate,
            "frames": frames,
            "round_to": round_to,
            "seed": seed,
        },
        ratio,
        max_latency,
        recipe,
    )
    with TerminalProgress() as progress:
        result = prune(
            model,
            calib=calib,
            out=out,
            spec=spec,
            backend=backend,
            board=board,
            inputs=parse_inputs(inputs),
            progress=progress,
        )
    warn_unless_held_out(result.held_out)
    if as_json:
        print_json(result)
    else:
        _show(result)
    warn(result.note)


def _spec(
    options: Mapping[str, object],
    ratio: float | None,
    max_latency: str | None,
    recipe: Path | None,
) -> PruneSpec:
    """How to prune, of the options and the recipe, and how much: a `ratio`, or until a frame takes
    `max_latency`, which takes the place of what a recipe says of either."""
    if ratio is not None and max_latency is not None:
        raise UsageError("`--ratio` and `--max-latency` cannot both be given.")
    read = read_recipe(recipe)
    spec = settings(PruneSpec, options, read.prune if read else None)
    if max_latency is not None:
        return replace(spec, ratio=0.0, latency_ms=parse_milliseconds(max_latency))
    if ratio is None and read is None:
        ratio = 0.25
    if ratio is not None:
        return replace(spec, ratio=ratio, latency_ms=None)
    if spec.ratio == 0 and spec.latency_ms is None:
        raise UsageError(
            "This recipe prunes nothing.",
            where=recipe,
            hint="Give its [prune] a `ratio` or a `latency_ms`, or add --ratio or --max-latency.",
        )
    return spec


def _show(result: Pruned) -> None:
    for graph in result.graphs:
        macs = f"{graph.macs_before / 1e6:7.1f} -> {graph.macs_after / 1e6:7.1f} MMAC"
        params = f"{graph.params_before / 1e3:7.1f} -> {graph.params_after / 1e3:7.1f} k parameters"
        say(f"{graph.name:<12} {macs}  {params}")
        if graph.params_after > graph.params_before:
            say("Layers that shared their weights lost different channels: now each has its own.")
    if result.overshoots:
        say(
            f"{1 - result.left:.0%} went, more than the {result.spec.ratio:.0%} asked for, as "
            f"channels are kept in multiples of {result.spec.round_to}; a lower --round-to comes "
            "nearer."
        )
    if result.latency_ms is not None:
        say(f"A frame takes {result.latency_ms:.1f} ms on {result.backend}")
    frames = "held-out frames" if result.held_out else "the frames recovered on"
    say(
        f"SSIM to the unpruned model on {frames}: {result.drift.ssim_mean:.4f} mean, "
        f"{result.drift.ssim_worst:.4f} worst"
    )
    say(f"Model: {result.folder}")
