"""Rounds of pruning: some channels of a whole model go, then what is left is fitted anew.

Each round looks again at what matters, since the layers have changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.pytorch.to_torch import ImportedGraph
from edgeanim.quantize.pruning.allocation import Layer, cost_of
from edgeanim.quantize.pruning.channels import ChannelGroup, PrunedGroup
from edgeanim.quantize.pruning.elimination import InputStats, read_moments
from edgeanim.quantize.pruning.importance import Groups, channel_scores
from edgeanim.quantize.pruning.judge import Judge
from edgeanim.quantize.pruning.layer_fit import PLACES
from edgeanim.quantize.pruning.layer_times import LayerTimes
from edgeanim.quantize.pruning.ranking import Ranking, Reconstructed, Scored, judged_takes
from edgeanim.quantize.pruning.refit import bytes_per_sample, refit
from edgeanim.quantize.pruning.selection import channels_left, group_in, in_graph, layers_of
from edgeanim.quantize.pruning.surgeon import Surgeon
from edgeanim.quantize.pruning.takes import Takes
from edgeanim.quantize.pruning.whole import WholeModel

# Samples of each graph that layers are fitted on in the end. Least squares on a few fit the few:
# frames of other stills lose visibly more.
_FITTED = 256
# To go on from, and to tell which channels are like others, fewer do.
_LOOKED_AT = 96
# What the samples that are fitted on may hold of memory at once. Large maps make them fewer; then
# there are as many more places to fit on in each.
_MEMORY = 4 << 30


class Rounds:
    """Prunes `student`, a copy of `teacher`, in place."""

    def __init__(
        self,
        student: WholeModel,
        teacher: WholeModel,
        imported: Mapping[str, ImportedGraph],
        takes: Takes,
        spec: PruneSpec,
        times: Mapping[str, LayerTimes] | None,
    ) -> None:
        self._student, self._teacher = student, teacher
        self._takes, self._spec = takes, spec
        self._imported = imported
        self._examples = {name: graph.example() for name, graph in imported.items()}
        self._layers: dict[str, Layer] = {}
        for name, example in self._examples.items():
            own = None if times is None else times[name]
            self._layers |= layers_of(
                teacher.contract.graph(name), teacher.net(name), example, spec, own
            )
        self._surgeons = {
            name: Surgeon(student.net(name), example) for name, example in self._examples.items()
        }
        self._before = self._groups()
        self._judge: Judge | None = None
        # The strands that are left of each group.
        self._left = {key: list(group.strands) for key, (_, group) in self._before.items()}

    @property
    def share(self) -> float:
        """What is left of a frame's cost, multiply-accumulates or time; of all channels, where
        whatever has channels runs once per still and costs a frame nothing."""
        whole, counts = self._all(self._before), self._counts()
        if cost := cost_of(whole, self._layers):
            return cost_of(whole, self._layers, counts) / cost
        return sum(counts.values()) / max(1, sum(group.count for group in whole))

    def cut(self, ratio: float) -> None:
        """Take channels out until `ratio` of the unpruned model's cost or channels is gone."""
        now = self._groups()
        ranking = self._ranking(now)
        groups, counts = self._all(self._before), self._counts()
        left = channels_left(groups, self._layers, counts, ranking.damage, self._spec, ratio)
        for key, (name, group) in now.items():
            if left[key] < group.count:
                gone = {group.strands[i] for i in ranking.order(key)[: group.count - left[key]]}
                self._surgeons[name].cut(gone)
                self._left[key] = [strand for strand in group.strands if strand not in gone]

    def refit(self, *, last: bool = True) -> None:
        """Fit the layers of every graph to what the unpruned ones gave, in order; on fewer samples
        if it is not the `last` time."""
        for name in self._imported:
            student, teacher = self._student.net(name), self._teacher.net(name)
            each = bytes_per_sample(teacher, self._examples[name])
            wanted = _FITTED if last else _LOOKED_AT
            count = max(1, min(wanted, _MEMORY // each))
            batches = list(self._batches(name, count))
            places = PLACES * wanted // count
            left = self._surgeons[name].outputs_left()
            refit(student, teacher, left, batches, seed=self._spec.seed, places=places)

    def groups(self) -> dict[str, tuple[PrunedGroup, ...]]:
        """What went from each graph, in terms of the unpruned one."""
        gone: dict[str, tuple[PrunedGroup, ...]] = dict.fromkeys(self._imported, ())
        for key, (name, group) in self._before.items():
            made = group.without(self._left[key])
            gone[name] += () if made is None else (made,)
        return gone

    def _ranking(self, groups: Groups) -> Ranking:
        if self._spec.importance != "reconstruction":
            scores = channel_scores(self._student, self._surgeons, groups, self._spec, self._takes)
            return Scored(scores)
        if self._judge is None:
            self._judge = Judge(self._teacher, judged_takes(self._takes))

        def read_by(name: str) -> Mapping[str, InputStats]:
            generator = torch.Generator().manual_seed(self._spec.seed)
            return read_moments(self._student.net(name), self._batches(name, _LOOKED_AT), generator)

        return Reconstructed(self._student, self._judge, self._surgeons, groups, read_by)

    def _batches(self, name: str, count: int) -> Iterator[list[torch.Tensor]]:
        """What a graph was given, at most so many times."""
        samples = self._takes.samples[name]
        for index in range(0, len(samples), max(1, -(-len(samples) // count))):
            yield self._imported[name].tensors(samples[index])

    def _counts(self) -> dict[str, int]:
        return {key: len(left) for key, left in self._left.items()}

    def _groups(self) -> Groups:
        return {
            in_graph(name, group.name): (name, group)
            for name, surgeon in self._surgeons.items()
            for group in surgeon.groups()
        }

    @staticmethod
    def _all(groups: Groups) -> list[ChannelGroup]:
        return [group_in(name, group) for name, group in groups.values()]
