"""`edgeanim compile`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeanim.cli.common import (
    PATH,
    backends_option,
    board_option,
    example,
    frames_option,
    input_option,
    json_option,
    on_command_line,
    parse_inputs,
    print_json,
    read_recipe,
    recipe_option,
)
from edgeanim.cli.progress import TerminalProgress


@click.command("compile")
@click.argument("model")
@click.option("-o", "--out", type=PATH, required=True, help="The bundle (.eab) to write.")
@backends_option
@frames_option("--frames", "Real frames for the golden outputs, where the model folder holds none.")
@recipe_option
@board_option
@input_option
@json_option
@example("edgeanim compile int8/ -o net.eab --backend all")
def command(
    model: str,
    out: Path,
    backends: tuple[str, ...],
    frames: str | None,
    recipe: Path | None,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compile MODEL into a bundle: every precision that it holds, for each backend asked for.

    The bundle carries golden inputs and the float model's outputs, so that a board can prove what
    it computes.
    """
    from edgeanim.api import compile as compile_model

    read = read_recipe(recipe)
    if read and not on_command_line("backends"):
        backends = read.compile.backends
    with TerminalProgress() as progress:
        result = compile_model(
            model,
            out=out,
            backends=backends,
            frames=frames,
            board=board,
            inputs=parse_inputs(inputs),
            progress=progress,
        )
    if as_json:
        print_json(result)
        return
    for variant in result.variants:
        click.echo(f"{variant}")
    click.echo(f"Bundle: {result.path} ({result.bytes / 1e6:.1f} MB)")
