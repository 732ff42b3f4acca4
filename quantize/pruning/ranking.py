"""In what order the strands of each group go, and what the model loses with so many left.

`Scored` sums the scores of the channels that went (`importance`). `Reconstructed` measures the
loss: channels go in the order in which the layers that read them can do without them best
(`elimination`), and the model is played with the weights that compensate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from math import inf, isfinite
from typing import Protocol

import torch
from torch import Tensor

from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.quantize.pruning.elimination import (
    InputStats,
    Problem,
    compensated_weights,
    elimination_order,
    problem_of,
    set_weights,
)
from edgeanim.quantize.pruning.importance import Groups, require_finite
from edgeanim.quantize.pruning.judge import Judge
from edgeanim.quantize.pruning.surgeon import Surgeon
from edgeanim.quantize.pruning.takes import Take, Takes
from edgeanim.quantize.pruning.whole import OutputCache, WholeModel

# Takes that a loss is measured on, each by one frame.
_JUDGED = 8


class Ranking(Protocol):
    """Groups are called by the names that they have among those of all graphs."""

    def order(self, key: str) -> Sequence[int]:
        """The group's strands by their place in it, the first to go first."""

    def damage(self, key: str, left: int) -> float:
        """What the model loses if the group has so many strands left."""


class Scored:
    """By a score for each strand."""

    def __init__(self, scores: Mapping[str, Tensor]) -> None:
        self._order: dict[str, list[int]] = {
            key: torch.argsort(values, stable=True).tolist() for key, values in scores.items()
        }
        self._lost = {
            key: list(accumulate((float(scores[key][i]) for i in order), initial=0.0))
            for key, order in self._order.items()
        }

    def order(self, key: str) -> Sequence[int]:
        """Those of low score first."""
        return self._order[key]

    def damage(self, key: str, left: int) -> float:
        """The sum of the scores of those that went."""
        return self._lost[key][len(self._order[key]) - left]


class Reconstructed:
    """By what `student` loses if the layers that read the channels compensate for them.

    `read` gives the second moments of what the layers of a graph read (`elimination.read_moments`).
    Each loss is measured when it is asked for, and kept.
    """

    def __init__(
        self,
        student: WholeModel,
        judge: Judge,
        surgeons: Mapping[str, Surgeon],
        groups: Groups,
        read: Callable[[str], Mapping[str, InputStats]],
    ) -> None:
        self._student, self._judge = student, judge
        self._surgeons, self._groups, self._read = surgeons, groups, read
        self._cache = OutputCache()
        self._before = self._measure(None)
        require_finite(isfinite(self._before))
        self._stats: dict[str, Mapping[str, InputStats]] = {}
        self._orders: dict[str, list[int]] = {}
        self._lost: dict[tuple[str, int], float] = {}

    def order(self, key: str) -> Sequence[int]:
        """Those that can be made up for best first."""
        if key not in self._orders:
            problems = list(self._problems(key).values())
            count = self._groups[key][1].count
            self._orders[key] = elimination_order(problems) if problems else list(range(count))
        return self._orders[key]

    def damage(self, key: str, left: int) -> float:
        """How much farther the model is from the unpruned one then, as `whole_loss` counts it;
        infinite where it makes no numbers."""
        name, group = self._groups[key]
        if left == group.count:
            return 0.0
        if (key, left) not in self._lost:
            with self._without(key, self.order(key)[: group.count - left]):
                loss = self._measure(name) - self._before
            self._lost[key, left] = loss if isfinite(loss) else inf
        return self._lost[key, left]

    def _measure(self, changed: str | None) -> float:
        """The loss with this graph changed."""
        self._cache.changed = changed
        self._student.cache = self._cache
        try:
            return self._judge.seen(self._student)
        finally:
            self._student.cache = None

    @contextmanager
    def _without(self, key: str, gone: Sequence[int]) -> Iterator[None]:
        """Within the block, the layers that read the channels do without those `gone`."""
        problems = self._problems(key)
        name, _ = self._groups[key]
        stats = self._stats_of(name)
        layers = [self._surgeons[name].layer(layer) for layer in problems]
        kept = [{n: p.detach().clone() for n, p in layer.named_parameters()} for layer in layers]
        try:
            for layer, (reader, problem) in zip(layers, problems.items(), strict=True):
                set_weights(layer, stats[reader].taps, compensated_weights(problem, gone))
            yield
        finally:
            for layer, parameters in zip(layers, kept, strict=True):
                for parameter, value in parameters.items():
                    layer.get_parameter(parameter).data.copy_(value)

    def _problems(self, key: str) -> dict[str, Problem]:
        """That of each layer that reads the group's channels and mixes them with others."""
        name, group = self._groups[key]
        surgeon, stats = self._surgeons[name], self._stats_of(name)
        return {
            reader: problem_of(surgeon.layer(reader), stats[reader], places)
            for reader, places in group.taken_by.items()
            if reader in stats
        }

    def _stats_of(self, name: str) -> Mapping[str, InputStats]:
        """What the graph's layers read; one none of whose channels count is never played for it."""
        if name not in self._stats:
            found = self._read(name)
            require_finite(all(bool(torch.isfinite(r.moments).all()) for r in found.values()))
            self._stats[name] = found
        return self._stats[name]


def judged_takes(takes: Takes) -> list[Take]:
    """Takes from all over, each with its last frame alone: the first of a scene is the one that
    motion is counted from, so nothing has moved there."""
    some = [takes[int(index)] for index in evenly(len(takes), _JUDGED)]
    return [Take(take.still, take.first or take.frames[0], take.frames[-1:]) for take in some]
