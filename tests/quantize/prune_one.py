"""Pruning a model of one graph, as the tests have them."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from safetensors.torch import load_file

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.files import sha256_file
from edgeanim.core.parsing import load_json, parse
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.pytorch.write_back import write_back
from edgeanim.quantize.pruning.prune import prune_graphs
from edgeanim.quantize.pruning.pruned import PrunePlan, import_graph
from edgeanim.quantize.pruning.surgeon import apply_groups
from edgeanim.quantize.pruning.takes import Recorded, Script, Takes


def prune_graph(
    artifact: GraphArtifact, samples: Recorded, spec: PruneSpec, out: Path
) -> GraphArtifact:
    """Prune the one graph of a model that makes frames from `samples` alone."""
    name = artifact.spec.name
    takes = Takes({name: samples}, [Script((), (name,), len(samples))])
    contract = Contract(name, (artifact.spec,))
    return prune_graphs(contract, {name: artifact}, takes, spec, out).graphs[name]


def build_again(whole: GraphArtifact, pruned: GraphArtifact, path: Path) -> GraphArtifact:
    """What the plan and the weights beside `pruned` make of the unpruned graph, written to
    `path`."""
    plan_file = pruned.path.with_suffix(".prune.json")
    plan = parse(PrunePlan, load_json(plan_file), where=plan_file)
    assert plan.source == sha256_file(whole.path)
    imported = import_graph(whole.path)
    student = deepcopy(imported.module)
    apply_groups(student, imported.example(), plan.groups)
    student.load_state_dict(load_file(pruned.path.with_suffix(".safetensors")))
    write_back(imported, student, path)
    return GraphArtifact(whole.spec, path)
