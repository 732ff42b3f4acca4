"""Prune a model: fewer channels in all its graphs at once, for any ONNX that PyTorch can hold.

The graphs are judged together, by the frame that they make: which channels go, from which graph,
is decided by what that does to the frame for what it saves. In several rounds some channels go and
the layers around them are fitted anew (`refit`); in the end the whole is trained to give the
unpruned model's frames on unlabelled ones (`recover`).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, named
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.quiet import quiet
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.threads import torch_threads
from edgeanim.quantize.pruning.layer_times import LayerShape, LayerTimes, layer_shapes
from edgeanim.quantize.pruning.pruned import import_graph, require_packages, write_pruned

if TYPE_CHECKING:
    import torch

    from edgeanim.graph.pytorch.to_torch import ImportedGraph
    from edgeanim.quantize.pruning.rounds import Rounds
    from edgeanim.quantize.pruning.takes import Takes
    from edgeanim.quantize.pruning.whole import WholeModel

    Imported = Mapping[str, ImportedGraph]

Graphs = Mapping[str, GraphArtifact]
_UNPRUNED = "Ship it unpruned: leave `[prune]` out of the recipe."
# Channels go in blocks, so a share is met to within so much.
_TOLERANCE = 0.03


@dataclass(frozen=True)
class Cut:
    """The graphs of a pruned model, and what is `left` of the cost that the ratio counts, or of all
    channels."""

    graphs: Graphs
    left: float = 1.0

    def falls_short(self, spec: PruneSpec) -> bool:
        """Whether clearly less went than `spec` asks for; channels only ever go in multiples."""
        return spec.of != "channels" and self.left > 1 - spec.ratio + _TOLERANCE


def prune_graphs(
    contract: Contract,
    graphs: Graphs,
    takes: Takes,
    spec: PruneSpec,
    out: Path,
    *,
    times: Mapping[str, LayerTimes] | None = None,
    state: Path | None = None,
    progress: Progress = SILENT,
) -> Cut:
    """Prune the float32 `graphs` of `contract` by `spec`, recovering on `takes`.

    `spec.round_to` is a number here, and `spec.latency_ms` has been turned into a ratio; `times`
    are the layers' times of every graph if the ratio is one of time. Each graph that lost channels
    or was trained is written into a folder of its name below `out` (see `write_pruned`); any other
    is handed back as it came. What falls short of the ratio is not recovered. With a folder `state`
    a killed recovery goes on where it was.

    `BadInput` names an op that PyTorch cannot hold; `GateFailed` if the recovery diverges or a
    graph written differs from the pruned module.
    """
    if spec.ratio == 0:
        return Cut(graphs)
    require_packages()
    from edgeanim.quantize.pruning.recover import recover
    from edgeanim.quantize.pruning.rounds import Rounds
    from edgeanim.quantize.pruning.whole import WholeModel

    imported = {name: import_graph(artifact.path) for name, artifact in graphs.items()}
    teacher = WholeModel(contract, imported)
    student = deepcopy(teacher)
    with torch_threads(1):
        rounds = Rounds(student, teacher, imported, takes, spec, times)
        _cut_in_rounds(rounds, student, imported, spec, progress)
        groups = rounds.groups()
        if not any(groups.values()):
            return Cut(graphs)
        if Cut(graphs, rounds.share).falls_short(spec):
            spec = replace(spec, steps=0)
        parameters = _parameters(student, imported)
        loss = recover(student, teacher, takes, spec, parameters, state=state, progress=progress)
    made = dict(graphs)
    for name, graph in imported.items():
        if groups[name] or spec.steps:  # the others were trained along with it
            folder = out / name
            folder.mkdir()
            net = student.net(name)
            made[name] = write_pruned(graphs[name], graph, net, groups[name], spec, loss, folder)
    return Cut(made, rounds.share)


def _cut_in_rounds(
    rounds: Rounds, student: WholeModel, imported: Imported, spec: PruneSpec, progress: Progress
) -> None:
    """Cut down to the ratio, by the same share of what is left in every round."""
    progress.stage("Take channels out and fit the rest anew", spec.rounds)
    for number in range(spec.rounds):
        with quiet():
            rounds.cut(1 - (1 - spec.ratio) ** ((number + 1) / spec.rounds))
            for name, graph in imported.items():
                with named(name):
                    _check_outputs(graph, student.net(name))
        rounds.refit(last=number == spec.rounds - 1)
        progress.step(note=f"{rounds.share:.0%} left")
    progress.done(f"{rounds.share:.0%} left")


def _parameters(student: WholeModel, imported: Imported) -> dict[str, torch.nn.Parameter]:
    """Everything that the recovery trains, by graph and name."""
    from edgeanim.graph.pytorch.write_back import trainable
    from edgeanim.quantize.pruning.selection import in_graph

    return {
        in_graph(name, key): parameter
        for name, graph in imported.items()
        for key, parameter in trainable(graph, student.net(name)).items()
    }


def convolutions_of(artifact: GraphArtifact) -> dict[str, LayerShape]:
    """The graph's plain convolutions, as `measure_layers` wants them."""
    require_packages()
    imported = import_graph(artifact.path)
    return layer_shapes(imported.module, imported.example())


def _check_outputs(imported: ImportedGraph, student: torch.nn.Module) -> None:
    """The pruned module still runs and gives the same shapes."""
    import torch

    example = imported.example()
    with torch.no_grad():
        wanted = [tuple(output.shape) for output in imported.module(*example)]
        try:
            given = [tuple(output.shape) for output in student(*example)]
        except RuntimeError as error:
            raise BadInput(
                f"This graph ties its channels in a way that pruning cannot follow: {error}",
                hint=_UNPRUNED,
            ) from error
    if wanted != given:
        raise BadInput(
            f"Pruning changed the outputs' shapes from {wanted} to {given}.", hint=_UNPRUNED
        )
