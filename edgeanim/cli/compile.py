"""`edgeanim compile`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from edgeanim.cli.options import (
    NAME,
    PATH,
    Number,
    backends_option,
    board_option,
    example,
    frames_option,
    input_option,
    json_option,
    on_command_line,
    recipe_option,
)
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.artifact import FLOAT32, FloatPrecision
from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import parse_inputs

_ALL = "all"


def _parse_floats(names: tuple[str, ...]) -> tuple[FloatPrecision, ...]:
    if _ALL not in names:
        return tuple(dict.fromkeys(names))  # type: ignore[arg-type]  # click has checked them
    if len(set(names)) > 1:
        raise UsageError("`--floats all` cannot be combined with others.")
    return ()


@click.command("compile")
@click.argument("model", type=NAME)
@click.option("-o", "--out", type=PATH, required=True, help="The bundle (.eab) to write.")
@backends_option
@click.option(
    "--floats",
    multiple=True,
    type=click.Choice([*get_args(FloatPrecision), _ALL]),
    default=(FLOAT32,),
    show_default=True,
    help="Precision of the float variants; may be repeated. `all`: every one that the board has.",
)
@frames_option("--frames", "Real frames for the golden outputs, if the model folder has none.")
@click.option(
    "--tolerance",
    type=Number(0),
    default=0.25,
    show_default=True,
    metavar="LEVELS",
    help="How far a float32 frame may be from the model's own: mean difference in levels of 255.",
)
@recipe_option
@board_option
@input_option
@json_option
@example("edgeanim compile int8/ -o net.eab --backend all")
def command(
    model: str,
    out: Path,
    backends: tuple[str, ...],
    floats: tuple[str, ...],
    frames: str | None,
    tolerance: float,
    recipe: Path | None,
    board: str,
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compile MODEL into a bundle: every precision that it holds, for each requested backend.

    The bundle carries golden inputs and the float model's outputs, so that a board can prove what
    it computes. MODEL is mostly the folder that `quantize` wrote; from an .onnx, a .pt2, another
    model folder or `shipped` come float variants alone.
    """
    from edgeanim.api import compile as compile_model
    from edgeanim.targets.overflow import ONLY_WITH_VNNI

    with TerminalProgress() as progress:
        result = compile_model(
            model,
            out=out,
            backends=backends if on_command_line("backends") else (),
            floats=_parse_floats(floats) if on_command_line("floats") else None,
            recipe=recipe,
            frames=frames,
            tolerance=tolerance,
            board=board,
            inputs=parse_inputs(inputs),
            progress=progress,
        )
    if as_json:
        print_json(result)
        return
    for variant in result.variants:
        click.echo(variant + (f"   {ONLY_WITH_VNNI}" if variant in result.need_vnni else ""))
    click.echo(f"Bundle: {result.path} ({result.bytes / 1e6:.1f} MB)")
