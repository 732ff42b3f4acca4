"""Recovery: a changed model learns to make the unchanged one's frames again, as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from edgeanim.core.errors import memory_errors
from edgeanim.core.progress import Progress
from edgeanim.core.recipe import DistilSpec, PruneSpec
from edgeanim.quantize.distillation.train import Trainer
from edgeanim.quantize.pruning.judge import Judge, wanted_of
from edgeanim.quantize.pruning.takes import Take, Takes
from edgeanim.quantize.pruning.whole import Played, WholeModel

_HELD_OUT_EVERY = 8
_MOST_HELD_OUT = 12
# Checks on held-out takes in the course of a recovery, and how many in a row may bring nothing: the
# first steps after layers were fitted lose what fitting won, until the rate falls.
_CHECKS = 12
_PATIENCE = 6
_LEAST_EVERY = 10
# What of the teacher's frames is kept, however many takes there are to learn from.
_MEMORY = 2 << 30


def recover(
    student: WholeModel,
    teacher: WholeModel,
    takes: Takes,
    spec: PruneSpec,
    parameters: Mapping[str, torch.nn.Parameter],
    *,
    state: Path | None,
    progress: Progress,
) -> tuple[float, ...]:
    """Train `parameters` of `student` in place to make of `takes` what `teacher` makes, one take a
    step.

    Every eighth take is held out; the weights that did best there are kept, be they the first.
    Ends early when they do not improve. Deterministic under `spec.seed`; with a folder `state` a
    killed run goes on from its last check.

    Returns the losses on the held-out takes, the one before the first step first. `GateFailed` if
    the loss stops being a number.
    """
    if spec.steps == 0:
        return ()
    every = max(_LEAST_EVERY, spec.steps // _CHECKS)
    training = DistilSpec(
        steps=spec.steps,
        learning_rate=spec.learning_rate,
        every=every,
        patience=_PATIENCE,
        seed=spec.seed,
    )
    _set_memory_format(student, torch.channels_last)  # makes a step a third faster on a CPU
    trainer = Trainer(
        student,
        parameters,
        _ModelTask.of(teacher, takes),
        training,
        "minmax",
        state,
        title="Recover",
        where="[prune]",
    )
    with memory_errors(
        "The recovery needs more memory than there is.",
        "Prune without it, `--steps 0`, or export the net for smaller pictures.",
    ):
        losses = trainer.run(progress)
    _set_memory_format(student, torch.contiguous_format)
    return losses


def _set_memory_format(module: torch.nn.Module, layout: torch.memory_format) -> None:
    """Give kernels and maps this format, in place. Modules' own `to` fails on stored tensors of
    five axes."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=layout)


class _ModelTask:
    """Takes to learn from, with what the teacher makes of them: what a `Trainer` asks for."""

    def __init__(
        self, teacher: WholeModel, takes: Takes, taught: Sequence[int], held_out: Sequence[int]
    ) -> None:
        self.batches = _Batches(takes, taught)
        self.wanted = _Wanted(teacher, takes, taught)
        self.ranged: Sequence[Sequence[torch.Tensor]] = ()
        self.held_out_loss = Judge(teacher, [takes[i] for i in held_out])
        self.loss = self.held_out_loss.loss

    @staticmethod
    def of(teacher: WholeModel, takes: Takes) -> _ModelTask:
        """Hold some takes out; where there is only one it has to do for both."""
        held = list(range(_HELD_OUT_EVERY // 2, len(takes), _HELD_OUT_EVERY))[:_MOST_HELD_OUT]
        held = held or [len(takes) - 1]
        taught = [i for i in range(len(takes)) if i not in set(held)] or held
        return _ModelTask(teacher, takes, taught, held)


class _Batches(Sequence[tuple[Take]]):
    """The chosen takes as the arguments of a whole model, read as they are asked for."""

    def __init__(self, takes: Takes, chosen: Sequence[int]) -> None:
        self._takes, self._chosen = takes, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> tuple[Take]:  # type: ignore[override]
        return (self._takes[self._chosen[index]],)


class _Wanted(Sequence[Played]):
    """What the teacher makes of the chosen takes, made as it is asked for, and kept as far as
    `memory` reaches: what lies beyond is made again every time."""

    def __init__(
        self, teacher: WholeModel, takes: Takes, chosen: Sequence[int], memory: int = _MEMORY
    ) -> None:
        self._teacher, self._takes, self._chosen = teacher, takes, chosen
        self._kept: dict[int, Played] = {}
        self._left = memory

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Played:  # type: ignore[override]
        if index in self._kept:
            return self._kept[index]
        played = wanted_of(self._teacher, self._takes[self._chosen[index]])
        self._left -= played.bytes
        if self._left >= 0:
            self._kept[index] = played
        return played
