"""The steps of a training: which stage, which size, how many pairs, how fast."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgeanim.models.training.config import Phase, TrainConfig

_WARM_UP = 50

Stage = Literal["regions", "generator", "qat"]


@dataclass(frozen=True)
class Step:
    """One step of the whole training. `stage_share` is how much of its stage is done before it."""

    number: int
    stage: Stage
    size: int
    batch: int
    rate: float
    stage_share: float


def schedule(config: TrainConfig) -> Iterator[Step]:
    """All steps of all stages in order."""
    number = 0
    stages: tuple[tuple[Stage, tuple[Phase, ...]], ...] = (
        ("regions", config.regions),
        ("generator", config.generator),
        ("qat", config.qat),
    )
    for stage, phases in stages:
        total, done = sum(phase.steps for phase in phases), 0
        for phase in phases:
            for index in range(phase.steps):
                warm_up = min(1.0, (index + 1) / min(_WARM_UP, phase.steps))
                cosine = 0.55 + 0.45 * math.cos(math.pi * index / phase.steps)
                size = phase.sizes[index % len(phase.sizes)]
                rate = phase.learning_rate * warm_up * cosine
                yield Step(number, stage, size, phase.batch, rate, done / total)
                number, done = number + 1, done + 1
