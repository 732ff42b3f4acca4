"""`edgeanim prune`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.common import (
    PATH,
    TerminalProgress,
    example,
    input_option,
    json_option,
    parse_inputs,
    print_json,
)


@click.command("prune")
@click.argument("model")
@click.option("--calib", metavar="DIR|CLIP|FILE.npz", help="Real frames to recover on.")
@click.option("-o", "--out", type=PATH, required=True, help="The model folder to write.")
@click.option(
    "--ratio",
    type=click.FloatRange(0, 0.9),
    default=0.25,
    show_default=True,
    help="Share of the channels to remove from every group.",
)
@click.option(
    "--steps", type=click.IntRange(0), default=200, show_default=True, help="Of recovery."
)
@click.option("--round-to", type=click.IntRange(1), default=8, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@input_option
@json_option
@example("edgeanim prune net.onnx --calib photos/ --ratio 0.3 -o pruned/")
def command(
    model: str,
    calib: str | None,
    out: Path,
    ratio: float,
    steps: int,
    round_to: int,
    seed: int,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Remove whole channels from MODEL, then recover by distillation from the unpruned net."""
    from edgeanim.api import prune
    from edgeanim.core.recipe import PruneSpec

    progress = TerminalProgress()
    spec = PruneSpec(ratio=ratio, steps=steps, round_to=round_to, seed=seed)
    result = prune(
        model, calib=calib, out=out, spec=spec, inputs=parse_inputs(inputs), progress=progress
    )
    progress.close()
    if as_json:
        print_json(result)
        return
    for graph in result.graphs:
        macs = f"{graph.macs_before / 1e6:7.1f} -> {graph.macs_after / 1e6:7.1f} MMAC"
        params = f"{graph.params_before / 1e3:7.1f} -> {graph.params_after / 1e3:7.1f} k parameters"
        click.echo(f"{graph.name:<12} {macs}  {params}")
    click.echo(f"SSIM to the unpruned model on held-out frames: {result.drift.ssim_mean:.4f} mean")
    click.echo(f"Model: {result.folder}")
