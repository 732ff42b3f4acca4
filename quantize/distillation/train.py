"""The training loop of distillation: one sample a step, checked on held-out samples, resumable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import GateFailed
from edgeanim.core.progress import Progress
from edgeanim.core.recipe import DistilSpec, Ranges
from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.quantize.distillation.fake_quant import collect_ranges
from edgeanim.quantize.distillation.loss import Loss, Outputs, output_losses
from edgeanim.quantize.distillation.state import TrainingHistory, load_state, save_state

_MAX_GRADIENT = 1.0
_NO_GRADIENT = (
    "An op in it has none where it is used, as the root of zero. Do without training: "
    "`prune --steps 0`, or `quantize --method mixed`."
)
# No parameter moves slower than one of this part of the median parameter's size.
_SMALLEST = 0.1

Batch = Sequence[torch.Tensor]


@dataclass(frozen=True)
class GraphTask:
    """Inputs with the float net's outputs for them: to learn from, and `held_out` to judge by.

    `ranged` are the inputs that ranges are taken from.
    """

    batches: Sequence[Batch]
    wanted: Sequence[Outputs]
    held_out: Sequence[tuple[Batch, Outputs]]
    ranged: Sequence[Batch]
    losses: Sequence[Loss]

    @staticmethod
    def split(
        batches: Sequence[Batch],
        wanted: Sequence[Outputs],
        specs: Sequence[TensorSpec],
        *,
        every: int,
        ranged: int,
    ) -> GraphTask:
        """Hold every `every`-th sample out, from the middle of the first stretch on."""
        held = set(range(every // 2, len(batches), every))
        taught = [i for i in range(len(batches)) if i not in held]
        chosen = evenly(len(taught), ranged)
        return GraphTask(
            batches=[batches[i] for i in taught],
            wanted=[wanted[i] for i in taught],
            held_out=[(batches[i], wanted[i]) for i in sorted(held)],
            ranged=[batches[taught[i]] for i in chosen],
            losses=output_losses(specs, wanted),
        )

    def loss(self, given: Outputs, wanted: Outputs) -> torch.Tensor:
        """The mean over the outputs."""
        pairs = zip(self.losses, given, wanted, strict=True)
        return torch.stack([loss(one, other) for loss, one, other in pairs]).mean()

    def held_out_loss(self, student: nn.Module) -> float:
        """The mean loss of `student` on the held-out samples."""
        with torch.no_grad():
            losses = [float(self.loss(student(*x), wanted)) for x, wanted in self.held_out]
        return float(np.mean(losses))


class DistillationTask(Protocol):
    """What a student learns from: the arguments of each step, what is wanted of them, and how far
    off a result is. `ranged` are inputs that ranges of values are taken from."""

    @property
    def batches(self) -> Sequence[Any]: ...

    @property
    def wanted(self) -> Sequence[Any]: ...

    @property
    def ranged(self) -> Sequence[Batch]: ...

    def loss(self, given: Any, wanted: Any) -> torch.Tensor: ...

    def held_out_loss(self, student: Any) -> float: ...


class Trainer:
    """Trains `parameters` of `student` in place. `title` is what the work is called, `where` the
    recipe's table that governs it.

    Adam with a cosine decay and clipped gradients; the learning rate is relative to each
    parameter's own size, so that a kernel of thousandths and a bias of tens both move. The ranges
    of activations follow the weights at every check.
    """

    def __init__(
        self,
        student: Any,
        parameters: Mapping[str, nn.Parameter],
        task: DistillationTask,
        spec: DistilSpec,
        ranges: Ranges,
        state: Path | None,
        *,
        title: str = "Distil",
        where: str = "[quantize.distil]",
    ) -> None:
        self.title, self.where = title, where
        self.student, self.task, self.spec, self.ranges = student, task, spec, ranges
        self.parameters, self.state = dict(parameters), state
        for parameter in student.parameters():
            parameter.requires_grad_(False)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        sizes = [float(p.detach().square().mean().sqrt()) for p in self.parameters.values()]
        floor = _SMALLEST * float(np.median(sizes))
        self.rates = [spec.learning_rate * max(size, floor) for size in sizes]
        groups = [{"params": [p]} for p in self.parameters.values()]
        self.optimiser = torch.optim.Adam(groups, lr=spec.learning_rate)

    def run(self, progress: Progress) -> tuple[float, ...]:
        """Train and leave the best weights in the student. Returns the held-out losses."""
        progress.stage(self.title, self.spec.steps)
        history, best = self._begin(progress)
        while history.step < self.spec.steps and history.stale < self.spec.patience:
            stop = min(history.step + self.spec.every, self.spec.steps)
            for step in range(history.step, stop):
                self._step(step)
                progress.step(note=f"held-out loss {history.held_out[-1]:.4f}")
            self._settle()
            loss = self.task.held_out_loss(self.student)
            history = TrainingHistory(stop, self.spec.every, (*history.held_out, loss))
            if history.stale == 0:
                best = self._weights()
            self._save(history, best)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(best[name])
        progress.done(f"held-out loss {history.held_out[0]:.4f} -> {history.best:.4f}")
        return history.held_out

    def _begin(self, progress: Progress) -> tuple[TrainingHistory, dict[str, torch.Tensor]]:
        if self.state is not None:
            found = load_state(self.state, self.parameters, self.optimiser)
            if found is not None:
                self._settle()
                progress.step(found[0].step)
                return found
        self._settle()
        first = self.task.held_out_loss(self.student)
        return TrainingHistory(0, self.spec.every, (first,)), self._weights()

    def _settle(self) -> None:
        collect_ranges(self.student, self.task.ranged, self.ranges)

    def _step(self, step: int) -> None:
        index = _drawn(self.spec.seed, step, len(self.task.batches))
        decay = 0.5 * (1 + math.cos(math.pi * step / self.spec.steps))
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * decay
        loss = self.task.loss(self.student(*self.task.batches[index]), self.task.wanted[index])
        if not math.isfinite(float(loss.detach())):
            raise GateFailed(
                f"The training diverged at step {step + 1}.",
                hint=f"Lower `learning_rate` in the recipe's {self.where}.",
            )
        self.optimiser.zero_grad()
        loss.backward()
        size = torch.nn.utils.clip_grad_norm_(self.parameters.values(), _MAX_GRADIENT)
        if not math.isfinite(float(size)):
            raise GateFailed(
                f"The network has no finite gradient at step {step + 1}.", hint=_NO_GRADIENT
            )
        self.optimiser.step()

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def _save(self, history: TrainingHistory, best: Mapping[str, torch.Tensor]) -> None:
        if self.state is not None:
            save_state(self.state, history, self.parameters, self.optimiser, best)


def _drawn(seed: int, step: int, count: int) -> int:
    """The sample of a step: every pass over all of them has an order of its own."""
    epoch, place = divmod(step, count)
    return int(np.random.default_rng((seed, epoch)).permutation(count)[place])
