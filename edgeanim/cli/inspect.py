"""`edgeanim inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.common import PATH, example, json_option, print_json, say

if TYPE_CHECKING:
    from edgeanim.graph.inspect import ModelInfo


@click.command("inspect")
@click.argument("model")
@click.option("--contract", type=PATH, help="A model.toml to use instead of the inferred contract.")
@click.option("--save-contract", type=PATH, metavar="FILE", help="Write the contract to edit it.")
@json_option
@example("edgeanim inspect shipped\nedgeanim inspect net.onnx --save-contract model.toml")
def command(model: str, contract: Path | None, save_contract: Path | None, as_json: bool) -> None:
    """Show a model's graphs, contract, size, and what stands in a backend's way.

    MODEL is an .onnx, a model folder, or `shipped` for the animator that comes with edgeanim.
    """
    from edgeanim.api import inspect

    info = inspect(model, contract=contract, save_contract=save_contract)
    if as_json:
        print_json(info)
    else:
        _show(info)


def _show(info: ModelInfo) -> None:
    say(f"{info.contract.name}   sha256 {info.digest[:16]}")
    for graph in info.graphs:
        say(
            f"\n{graph.spec.name}: runs {graph.spec.runs}, {graph.macs / 1e6:.1f} MMAC, "
            f"{graph.params / 1e3:.1f} k parameters, opset {graph.opset}"
        )
        for arrow, specs in (("in ", graph.spec.inputs), ("out", graph.spec.outputs)):
            for tensor in specs:
                shape = "x".join(map(str, tensor.shape))
                span = f"{tensor.range[0]:g}..{tensor.range[1]:g}" if tensor.range else ""
                say(
                    f"  {arrow} {tensor.name:<28} {tensor.role:<18} {shape:<16} "
                    f"{tensor.layout:<6} {span}".rstrip()
                )
        ops = ", ".join(f"{name} {count}" for name, count in sorted(graph.ops.items()))
        say(f"  ops {ops}")
        for warning in graph.warnings:
            say(f"  note {warning}")
