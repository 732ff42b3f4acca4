"""Rounds of pruning: some channels of a whole model go, then what is left is fitted anew.

Each round looks again at what matters, since the layers have changed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.to_torch import ImportedGraph
from edgeanim.quantize.allocation import Layer, cost_of
from edgeanim.quantize.channels import ChannelGroup, PrunedGroup
from edgeanim.quantize.importance import channel_scores
from edgeanim.quantize.layer_times import LayerTimes
from edgeanim.quantize.recover import as_tensors
from edgeanim.quantize.refit import PLACES, held_for_each, refit
from edgeanim.quantize.selection import channels_left, group_in, in_graph, layers_of
from edgeanim.quantize.surgeon import Surgeon
from edgeanim.quantize.takes import Takes
from edgeanim.quantize.whole import Whole

# A group by its name among those of all graphs: which graph it is in, and the group there.
Groups = Mapping[str, tuple[str, ChannelGroup]]

# Samples of each graph that layers are fitted on. Least squares on a few fit the few: on a quarter
# of these, a fifth of the animator's multiply-accumulates cost more than twice the drift.
_FITTED = 96
# What these may hold of memory at once. Large maps make them fewer; then there are as many more
# places to fit on in each.
_MEMORY = 4 << 30


class Rounds:
    """Prunes `student`, a copy of `teacher`, in place."""

    def __init__(
        self,
        student: Whole,
        teacher: Whole,
        imported: Mapping[str, ImportedGraph],
        takes: Takes,
        spec: PruneSpec,
        times: Mapping[str, LayerTimes] | None,
    ) -> None:
        self._student, self._teacher = student, teacher
        self._takes, self._spec = takes, spec
        self._taken = {name: graph.input_names for name, graph in imported.items()}
        self._examples = {name: graph.example() for name, graph in imported.items()}
        self._layers: dict[str, Layer] = {}
        for name, example in self._examples.items():
            own = None if times is None else times[name]
            self._layers |= layers_of(
                teacher.contract.graph(name), teacher.net(name), example, spec, own
            )
        self._before = self._groups(self._surgeons())
        # The channels that are left of each group, by their numbers in the unpruned one.
        self._left = {key: list(range(g.channels)) for key, (_, g) in self._before.items()}

    @property
    def share(self) -> float:
        """What is left of a frame's cost, multiply-accumulates or time; of all channels, where
        whatever has channels runs once per still and costs a frame nothing."""
        whole, counts = self._all(self._before), self._counts()
        if cost := cost_of(whole, self._layers):
            return cost_of(whole, self._layers, counts) / cost
        return sum(counts.values()) / max(1, sum(group.channels for group in whole))

    def cut(self, ratio: float) -> None:
        """Take channels out until `ratio` of the unpruned model's cost or channels is gone."""
        surgeons = self._surgeons()
        now = self._groups(surgeons)
        scores = channel_scores(self._student, surgeons, now, self._spec, self._takes)
        order = {key: torch.argsort(values, stable=True).tolist() for key, values in scores.items()}
        damages = {key: [float(scores[key][i]) for i in order[key]] for key in now}
        left = channels_left(
            self._all(self._before), self._layers, self._counts(), damages, self._spec, ratio
        )
        for key, (name, group) in now.items():
            gone = set(order[key][: group.channels - left[key]])
            if gone:
                pruned = tuple(sorted(gone))
                cut = PrunedGroup(group.root, group.members, pruned, group.channels, left[key])
                surgeons[name].cut(cut)
                self._left[key] = [c for i, c in enumerate(self._left[key]) if i not in gone]

    def refit(self) -> None:
        """Fit the layers of every graph to what the unpruned ones gave, in order."""
        left: dict[str, dict[str, list[int]]] = {name: {} for name in self._taken}
        for key, (name, group) in self._before.items():
            left[name] |= dict.fromkeys(group.given_by, self._left[key])
        for name, taken in self._taken.items():
            samples = self._takes.samples[name]
            student, teacher = self._student.net(name), self._teacher.net(name)
            each = held_for_each(teacher, self._examples[name])
            count = max(1, min(_FITTED, _MEMORY // each))
            step = max(1, -(-len(samples) // count))
            batches = [as_tensors(samples[i], taken) for i in range(0, len(samples), step)]
            places = PLACES * _FITTED // count
            refit(student, teacher, left[name], batches, seed=self._spec.seed, places=places)

    def groups(self) -> dict[str, tuple[PrunedGroup, ...]]:
        """What went from each graph, in terms of the unpruned one."""
        gone: dict[str, tuple[PrunedGroup, ...]] = dict.fromkeys(self._taken, ())
        for key, (name, group) in self._before.items():
            left = set(self._left[key])
            if len(left) < group.channels:
                pruned = tuple(i for i in range(group.channels) if i not in left)
                made = PrunedGroup(group.root, group.members, pruned, group.channels, len(left))
                gone[name] += (made,)
        return gone

    def _counts(self) -> dict[str, int]:
        return {key: len(left) for key, left in self._left.items()}

    def _surgeons(self) -> dict[str, Surgeon]:
        return {
            name: Surgeon(self._student.net(name), example)
            for name, example in self._examples.items()
        }

    @staticmethod
    def _groups(surgeons: Mapping[str, Surgeon]) -> Groups:
        return {
            in_graph(name, group.root): (name, group)
            for name, surgeon in surgeons.items()
            for group in surgeon.groups()
        }

    @staticmethod
    def _all(groups: Groups) -> list[ChannelGroup]:
        return [group_in(name, group) for name, group in groups.values()]
