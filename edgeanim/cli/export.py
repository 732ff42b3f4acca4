"""`edgeanim export`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edgeanim.cli.options import (
    PATH,
    Number,
    example,
    json_option,
    model_folder_option,
    range_option,
)
from edgeanim.cli.output import print_json
from edgeanim.cli.progress import TerminalProgress
from edgeanim.cli.users_code import failed, named_object, users_code
from edgeanim.core.errors import BadInput, UsageError, foreign_errors
from edgeanim.graph.pytorch.program import SUFFIX as PROGRAM


@click.command("export")
@click.argument("module", metavar="PACKAGE.MODULE:NAME|FILE.pt2")
@model_folder_option
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3x256x256",
    help="An input's name and shape, in the order in which the module takes them; may be repeated.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="NAME",
    help="Name of an output, if there are several; may be repeated.",
)
@range_option("Value range of its pictures [default: inferred from its ops, or 0..1].")
@click.option(
    "--contract",
    type=PATH,
    metavar="model.toml",
    help="The meaning of all tensors, instead of the options above: for models of several graphs.",
)
@click.option("--weights", type=PATH, metavar="FILE.safetensors", help="Weights to load into it.")
@click.option(
    "--tolerance",
    type=Number(0),
    default=1e-4,
    show_default=True,
    help="How far its outputs may be from the module's, as a share of the largest value, or of 1.",
)
@json_option
@example(
    """edgeanim export mynet:UNet --weights unet.safetensors --shape image=1x3x256x256 -o net/
edgeanim export mynet:graphs --contract model.toml -o net/
edgeanim export net.pt2 -o net/"""
)
def command(
    module: str,
    out: Path,
    shapes: tuple[str, ...],
    outputs: tuple[str, ...],
    values: tuple[float, float] | None,
    contract: Path | None,
    weights: Path | None,
    tolerance: float,
    as_json: bool,
) -> None:
    """Write a PyTorch module as a model for all other commands, checked against the module.

    NAME in the importable PACKAGE.MODULE (one in this folder, say) is a torch.nn.Module, a mapping
    from the graphs of a contract to modules, or a class or function that returns one of these
    when called without arguments. This runs its code. `edgeanim.api.export` takes modules directly.

    Of an exported program, FILE.pt2, no code is run. Its inputs have names and shapes, so --shape
    may be left out.
    """
    from edgeanim.api import export

    given = dict(_shape_of(text) for text in shapes)
    if len(given) != len(shapes):
        raise UsageError("Two inputs have the same name.", where="--shape")
    with users_code(), TerminalProgress() as progress:
        modules = Path(module) if Path(module).suffix.lower() == PROGRAM else _load(module)
        if weights is not None:
            _fill(modules, weights)
        exported = export(
            modules,
            out=out,
            shapes=given or None,
            outputs=outputs,
            values=values,
            contract=contract,
            tolerance=tolerance,
            progress=progress,
        )
    if as_json:
        print_json(exported)
        return
    click.echo(f"Model: {exported.folder}")
    folder = shlex.quote(str(exported.folder))
    click.echo(f"To see how its tensors were understood: edgeanim inspect {folder}")


def _shape_of(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.partition("=")
    try:
        shape = tuple(int(size) for size in sizes.lower().replace(",", "x").split("x"))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise UsageError(
            f"{text!r} is not a name and a shape.",
            where="--shape",
            hint="Write it as image=1x3x256x256.",
        )
    return name, shape


def _load(name: str) -> Any:
    """The module, or the mapping of modules, that `name` leads to."""
    from edgeanim.core.packages import require

    require("Exporting a module", "torch", extra="compress")
    import torch

    found = named_object(name)
    if not isinstance(found, (torch.nn.Module, Mapping)) and callable(found):
        with foreign_errors(lambda error: failed(error, name)):
            found = found()
    modules = found.values() if isinstance(found, Mapping) else (found,)
    if not all(isinstance(module, torch.nn.Module) for module in modules):
        raise BadInput(
            f"This is a {type(found).__name__}, not a torch.nn.Module or a mapping of those.",
            where=name,
        )
    return found


def _fill(modules: Any, weights: Path) -> None:
    import torch

    from edgeanim.graph.pytorch.module_weights import load_weights

    if not isinstance(modules, torch.nn.Module):
        raise UsageError(
            "--weights are for one module, which may be a torch.nn.ModuleDict of all graphs. Load "
            "those of a plain mapping where it is made."
        )
    load_weights(modules, weights)
