"""Pruning a model of one graph, as the tests have them."""

from __future__ import annotations

from pathlib import Path

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.recipe import PruneSpec
from edgeanim.quantize.prune import prune_graphs
from edgeanim.quantize.takes import Recorded, Script, Takes


def prune_graph(
    artifact: GraphArtifact, samples: Recorded, spec: PruneSpec, out: Path
) -> GraphArtifact:
    """Prune the one graph of a model that makes frames from `samples` alone."""
    name = artifact.spec.name
    takes = Takes({name: samples}, [Script((), (name,), len(samples))])
    contract = Contract(name, (artifact.spec,))
    return prune_graphs(contract, {name: artifact}, takes, spec, out)[name]
