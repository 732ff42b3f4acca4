"""`edgeanim inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import NAME, PATH, example, json_option
from edgeanim.cli.output import print_json, say

if TYPE_CHECKING:
    from edgeanim.core.contract import GraphSpec
    from edgeanim.graph.inspect import ModelInfo
    from edgeanim.pipeline.inspect_bundle import BundleInfo

_SIGNATURES = {
    "trusted": "a key that this machine trusts",
    "holds": "the signature holds",
    "altered": "the signature does not hold; somebody has altered the bundle",
    "not checked": "not checked, for lack of the package cryptography",
}


@click.command("inspect")
@click.argument("model", type=NAME)
@click.option("--contract", type=PATH, help="A model.toml to use instead of the inferred contract.")
@click.option("--save-contract", type=PATH, metavar="FILE", help="Write the contract, for editing.")
@json_option
@example("edgeanim inspect shipped\nedgeanim inspect net.onnx --save-contract model.toml")
def command(model: str, contract: Path | None, save_contract: Path | None, as_json: bool) -> None:
    """Show a model's graphs, contract, size, and problems for each backend.

    MODEL is an .onnx, a PyTorch program (.pt2), a model folder, `shipped` for the animator that
    comes with edgeanim, or a bundle (.eab), whose variants and stored motions are listed.
    """
    from edgeanim.api import inspect
    from edgeanim.pipeline.inspect_bundle import BundleInfo

    info = inspect(model, contract=contract, save_contract=save_contract)
    if as_json:
        print_json(info)
    elif isinstance(info, BundleInfo):
        _show_bundle(info)
    else:
        _show_model(info)


def _show_model(info: ModelInfo) -> None:
    say(f"{info.contract.name}   sha256 {info.digest[:16]}")
    for graph in info.graphs:
        say(
            "",
            f"{graph.spec.name}: runs {graph.spec.runs}, {graph.macs / 1e6:.1f} MMAC, "
            f"{graph.params / 1e3:.1f} k parameters, opset {graph.opset}",
        )
        _show_tensors(graph.spec)
        ops = ", ".join(f"{name} {count}" for name, count in sorted(graph.ops.items()))
        say(f"  ops {ops}")
        for warning in graph.warnings:
            say(f"  note {warning}")


def _show_bundle(info: BundleInfo) -> None:
    from edgeanim.targets.overflow import ONLY_WITH_VNNI

    say(f"{info.contract.name}   bundle of {info.size / 1e6:.1f} MB, sha256 {info.sha256[:16]}")
    if info.signature is not None:
        say(f"  signed by {info.signature.signer}: {_SIGNATURES[info.signature.state]}")
    for variant in info.variants:
        floats = " and ".join(variant.floats)
        needs = f"   {ONLY_WITH_VNNI}" if variant.needs_vnni else ""
        here = "" if variant.runs_here else f"   not here: {variant.reason}"
        say(f"  {variant.id:<24} {variant.size / 1e6:6.2f} MB   floats {floats}{needs}{here}")
    for track in info.tracks:
        say(f"  motion {track.name:<17} {track.frames:4d} frames at {track.fps:g} a second")
    say(f"  {info.golden_frames} golden frames of the float32 original, the reference for drift")
    for name, value in info.provenance.items():
        said = value.items() if isinstance(value, dict) else [("", value)]
        say(f"  {name}: {', '.join(f'{key} {told}'.strip() for key, told in said)}")
    for graph in info.contract.graphs:
        say("", f"{graph.name}: runs {graph.runs}")
        _show_tensors(graph)


def _show_tensors(spec: GraphSpec) -> None:
    from edgeanim.report.columns import aligned

    rows = [
        (
            f"  {arrow} {tensor.name}",
            tensor.role,
            "x".join(map(str, tensor.shape)),
            tensor.layout,
            f"{tensor.range[0]:g}..{tensor.range[1]:g}" if tensor.range else "",
        )
        for arrow, tensors in (("in ", spec.inputs), ("out", spec.outputs))
        for tensor in tensors
    ]
    say(*aligned(rows, range(5)))
