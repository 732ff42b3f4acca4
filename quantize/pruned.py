"""A pruned graph on disk: the ONNX, the plan of what went, the weights of what stayed.

From plan, weights and the unpruned ONNX the pruned graph can be built again. Nothing is ever
pickled.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import BadInput, first_line
from edgeanim.core.files import sha256_file, write_bytes, write_text
from edgeanim.core.packages import require
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.write_back import write_back
from edgeanim.quantize.channels import PrunedGroup
from edgeanim.quantize.macs import count_macs
from edgeanim.quantize.surgeon import apply_groups

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.to_torch import ImportedGraph


@dataclass(frozen=True)
class PrunePlan:
    """What was done to a graph. `source` is the SHA-256 of the unpruned ONNX file.

    `loss` is the course of the recovery on held-out takes of the whole model, the one before the
    first step first.
    """

    source: str
    spec: PruneSpec
    groups: tuple[PrunedGroup, ...]
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    loss: tuple[float, ...]
    schema: Literal[1] = 1


def write_pruned(
    artifact: GraphArtifact,
    imported: ImportedGraph,
    student: torch.nn.Module,
    groups: tuple[PrunedGroup, ...],
    spec: PruneSpec,
    loss: tuple[float, ...],
    out: Path,
) -> GraphArtifact:
    """Write `<graph>.onnx`, `<graph>.prune.json` and `<graph>.safetensors` into the folder `out`.

    `student` is the module of `imported` without `groups`. The nodes keep their names, inputs and
    outputs their shapes. `GateFailed` if the graph differs from the module.
    """
    example = imported.example()
    plan = PrunePlan(
        source=sha256_file(artifact.path),
        spec=spec,
        groups=groups,
        parameters_before=_parameters(imported.module),
        parameters_after=_parameters(student),
        macs_before=count_macs(imported.module, example),
        macs_after=count_macs(student, example),
        loss=loss,
    )
    name = artifact.spec.name
    path = out / f"{name}.onnx"
    write_back(imported, student, path)
    _write_weights(student, out / f"{name}.safetensors")
    write_text(out / f"{name}.prune.json", json.dumps(to_plain(plan), indent=1) + "\n")
    return GraphArtifact(artifact.spec, path)


def rebuild_pruned(artifact: GraphArtifact, plan: Path, weights: Path, path: Path) -> GraphArtifact:
    """Build the pruned graph again from the unpruned `artifact`, its plan and its weights.

    Writes the ONNX to `path`. `BadInput` if the plan belongs to another graph or the weights do
    not fit it.
    """
    require_packages()
    recorded = parse(PrunePlan, load_json(plan), where=plan)
    if recorded.source != sha256_file(artifact.path):
        raise BadInput(
            f"This plan was made for another graph than {artifact.path}.",
            where=plan,
            hint="Prune the graph that you have.",
        )
    imported = import_graph(artifact.path)
    student = deepcopy(imported.module)
    try:
        with quiet():
            apply_groups(student, imported.example(), recorded.groups)
    except (KeyError, IndexError) as error:
        raise BadInput(f"The plan does not fit the graph: {error}.", where=plan) from error
    _load_weights(student, weights)
    write_back(imported, student, path)
    return GraphArtifact(artifact.spec, path)


def require_packages() -> None:
    """`MissingComponent` unless all that pruning needs is installed."""
    modules = ("torch", "safetensors")
    require("Pruning", *modules, extra="compress")


def import_graph(path: Path) -> ImportedGraph:
    """The graph in PyTorch."""
    from edgeanim.graph.to_torch import import_torch

    return import_torch(path)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _write_weights(module: torch.nn.Module, path: Path) -> None:
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    write_bytes(path, save(tensors))


def _load_weights(module: torch.nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(str(path)))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise BadInput(
            f"These weights do not fit the plan: {first_line(error)}", where=path
        ) from error
