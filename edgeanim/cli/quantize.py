"""`edgeanim quantize`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.common import (
    PATH,
    TerminalProgress,
    board_option,
    example,
    input_option,
    json_option,
    parse_inputs,
    print_json,
)
from edgeanim.core.recipe import METHODS, RANGES


@click.command("quantize")
@click.argument("model")
@click.option("--calib", metavar="DIR|CLIP|FILE.npz", help="Real frames to calibrate on.")
@click.option("-o", "--out", type=PATH, required=True, help="The model folder to write.")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    default=("all",),
    show_default=True,
    help="For this backend; may be repeated.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="`ptq` uses the ranges given; `auto` tries others where the drift is too large.",
)
@click.option(
    "--ranges",
    type=click.Choice(RANGES),
    default="minmax",
    show_default=True,
    help="How the ranges of activations are found.",
)
@click.option("--samples", type=click.IntRange(2, 100_000), default=48, show_default=True)
@click.option(
    "--max-drift",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Exit with 1 if 1 - SSIM to the float model exceeds this on held-out frames.",
)
@click.option(
    "--keep-float", multiple=True, metavar="[GRAPH:]NODE", help="Keep this node in float."
)
@board_option
@input_option
@json_option
@example(
    "edgeanim quantize shipped -o int8/\n"
    "edgeanim quantize net.onnx --calib photos/ -o int8/ --max-drift 0.02"
)
def command(
    model: str,
    calib: str | None,
    out: Path,
    backends: tuple[str, ...],
    method: str,
    ranges: str,
    samples: int,
    max_drift: float,
    keep_float: tuple[str, ...],
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Quantise MODEL to INT8 for each backend in the form that is right for it.

    Plays the result on held-out frames and refuses to hand back a model that drifted too far.
    """
    from edgeanim.api import quantize
    from edgeanim.core.parsing import parse
    from edgeanim.core.recipe import QuantizeSpec

    progress = TerminalProgress()
    spec = parse(
        QuantizeSpec,
        {"method": method, "ranges": ranges, "samples": samples, "keep_float": list(keep_float)},
        where="edgeanim quantize",
    )
    result = quantize(
        model,
        calib=calib,
        out=out,
        backends=backends,
        spec=spec,
        board=board,
        max_drift=max_drift,
        inputs=parse_inputs(inputs),
        progress=progress,
    )
    progress.close()
    if as_json:
        print_json(result)
        return
    for row in result.variants:
        click.echo(
            f"{row.backend:<14} {row.scheme:<16} {row.ranges:<12} "
            f"SSIM mean {row.drift.ssim_mean:.4f}  worst {row.drift.ssim_worst:.4f}"
        )
    click.echo(f"Model: {result.folder}")
