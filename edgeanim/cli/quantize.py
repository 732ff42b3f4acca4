"""`edgeanim quantize`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import (
    NAME,
    Number,
    Whole,
    backends_option,
    board_option,
    calib_option,
    example,
    input_option,
    json_option,
    max_drift_p5_option,
    model_folder_option,
    on_command_line,
    read_recipe,
    recipe_option,
    settings,
    single_option,
)
from edgeanim.cli.output import print_json, say, warn, warn_unless_held_out
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.parsing import parse_inputs
from edgeanim.core.recipe import METHODS, RANGES, QuantizeSpec

if TYPE_CHECKING:
    from edgeanim.pipeline.frames.given import Frames
    from edgeanim.pipeline.gain import FrameTimes
    from edgeanim.pipeline.methods import MeasuredIslands
    from edgeanim.pipeline.quantize import Quantized, QuantizedVariant


@click.command("quantize")
@click.argument("model", type=NAME)
@calib_option("Real frames to calibrate on; the shipped animator has its own.")
@model_folder_option
@backends_option
@single_option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="`ptq` uses the given ranges; `mixed` keeps sensitive layers in float, at the least cost "
    "in time; `distil` first trains the weights for INT8, some minutes; `auto` tries ptq with "
    "all ranges, then mixed.",
)
@click.option(
    "--ranges",
    type=click.Choice(RANGES),
    default=QuantizeSpec.ranges,
    show_default=True,
    help="How the ranges of activations are chosen. Which is best depends on the model; where "
    "these drift too far, `auto` tries the others.",
)
@click.option(
    "--samples",
    type=Whole(2, 100_000),
    default=48,
    show_default=True,
    help="How many frames to calibrate on; more take longer.",
)
@click.option(
    "--other-light",
    is_flag=True,
    help="Calibrate on the frames darker, bleached and in other contrast too: for pictures unlike "
    "those of --calib, on which INT8 breaks less then. On those alike it drifts a little more.",
)
@click.option(
    "--max-drift",
    type=Number(0, 1),
    default=0.02,
    show_default=True,
    help="Exit with 1 if 1 - mean SSIM to the float model exceeds this on held-out frames.",
)
@max_drift_p5_option
@click.option(
    "--keep-float",
    multiple=True,
    metavar="[GRAPH:]NODE",
    help="Keep this node in float; may be repeated.",
)
@recipe_option
@board_option
@input_option
@json_option
@example(
    "edgeanim quantize shipped -o int8/\n"
    "edgeanim quantize net.onnx --calib photos/ -o int8/ --max-drift 0.02"
)
def command(
    model: str,
    calib: str | Frames | None,
    out: Path,
    backends: tuple[str, ...],
    method: str,
    ranges: str,
    samples: int,
    other_light: bool,
    max_drift: float,
    max_drift_p5: float | None,
    keep_float: tuple[str, ...],
    recipe: Path | None,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Quantise MODEL to INT8 for each backend in that backend's own form.

    Checks the result on held-out frames and fails if the model drifted too far. Says how much
    faster INT8 is on this machine than each float. MODEL is an .onnx, a .pt2, a model folder or
    `shipped`.
    """
    from edgeanim.api import quantize

    read = read_recipe(recipe)
    spec = settings(
        QuantizeSpec,
        {
            "method": method,
            "ranges": ranges,
            "samples": samples,
            "keep_float": list(keep_float),
            "other_light": other_light,
        },
        read.quantize if read else None,
    )
    if read:
        mean = max_drift if on_command_line("max_drift") else None
        limit = read.gates.drift(mean, max_drift_p5)
        max_drift, max_drift_p5 = limit.mean, limit.p5
    if read and not on_command_line("backends"):
        backends = read.compile.backends
    with TerminalProgress() as progress:
        result = quantize(
            model,
            calib=calib,
            out=out,
            backends=backends,
            spec=spec,
            board=board,
            max_drift=max_drift,
            max_drift_p5=max_drift_p5,
            inputs=parse_inputs(inputs),
            progress=progress,
        )
    for name, reason in result.left_out.items():
        click.echo(f"{name} is left out: the board runs no INT8 on it. {reason}", err=True)
    warn_unless_held_out(result.held_out)
    if as_json:
        print_json(result)
    else:
        _show(result)
    warn(result.note)


def _show(result: Quantized) -> None:
    for row in result.variants:
        say(
            f"{row.backend:<14} {row.scheme:<16} {row.ranges:<12} "
            f"SSIM mean {row.drift.ssim_mean:.4f}  5th percentile {row.drift.ssim_p5:.4f}"
        )
        if row.in_float:
            names = ", ".join(row.in_float)
            say(f"   stays in float32, without a convolution to quantise: {names}")
        _print_curve(row)
        if row.times:
            _print_times(row.times)
    say(f"Model: {result.folder}")


def _print_times(times: FrameTimes) -> None:
    """What INT8 gains here; where it gains nothing, that float should ship."""
    from edgeanim.report.words import milliseconds

    floats = sorted(times.floats.items(), key=lambda each: -each[1])
    gains = ", ".join(
        f"{ms / times.int8:.2f}x as fast as {name} ({milliseconds(ms)} ms)" for name, ms in floats
    )
    say(f"   {milliseconds(times.int8)} ms a frame on this machine, {gains}")
    best, least = floats[-1]
    if times.int8 >= least:
        say(
            f"   Not faster than {best} on this machine: ship {best} there. Which ops are in the "
            "way is told by `edgeanim bench` of what `compile --floats all` makes."
        )


def _print_curve(row: QuantizedVariant) -> None:
    """The points of a search for float islands, the chosen one marked."""
    if not row.curve:
        return
    heads = f"{'in float':>8} {'drift':>8} {'p5':>8} {'relit':>8} {'relit p5':>8} {'ms':>8}"
    say(f"   {heads} {'float ms':>9}")
    for point in row.curve:
        mark = "->" if point.floats == row.islands else "  "
        say(f"{mark} {len(point.floats):>8} {_figures(point)}")
    if row.islands:
        say(f"   kept in float: {', '.join(row.islands)}")


def _figures(point: MeasuredIslands) -> str:
    relit = point.relit
    drifts = [point.drift_mean, 1 - point.ssim_p5]
    drifts += [math.nan] * 2 if relit is None else [relit.drift_mean, 1 - relit.ssim_p5]
    shown = [f"{drift:>8.4f}" if math.isfinite(drift) else f"{'-':>8}" for drift in drifts]
    times = [f"{ms:.2f}" if ms is not None else "-" for ms in (point.ms, point.float_ms)]
    return f"{' '.join(shown)} {times[0]:>8} {times[1]:>9}"
