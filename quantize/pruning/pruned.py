"""A pruned graph on disk: the ONNX, the plan of what went, the weights of what stayed.

From plan, weights and the unpruned ONNX the pruned graph can be built again. Nothing is ever
pickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.files import sha256_file, write_text
from edgeanim.core.packages import require
from edgeanim.core.parsing import to_plain
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.tensors import write_tensors
from edgeanim.graph.pytorch.write_back import write_back
from edgeanim.quantize.pruning.channels import PrunedGroup
from edgeanim.quantize.pruning.macs import count_macs

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.pytorch.to_torch import ImportedGraph


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
    write_tensors(out / f"{name}.safetensors", student.state_dict())
    write_text(out / f"{name}.prune.json", json.dumps(to_plain(plan), indent=1) + "\n")
    return GraphArtifact(artifact.spec, path)


def require_packages() -> None:
    """`MissingComponent` unless all that pruning needs is installed."""
    modules = ("torch", "safetensors")
    require("Pruning", *modules, extra="compress")


def import_graph(path: Path) -> ImportedGraph:
    """The graph in PyTorch."""
    from edgeanim.graph.pytorch.to_torch import import_torch

    return import_torch(path)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
