"""The course of a distillation, on one weight whose loss has the same slope everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn

from edgeanim.core.progress import Silent
from edgeanim.core.recipe import DistilSpec
from edgeanim.quantize.distillation.train import Trainer


class Downhill:
    """A lesson that less is better; it notes what the weight is before every step."""

    batches: Sequence[Any] = [()]
    wanted: Sequence[Any] = [None]
    ranged: Sequence[Any] = []

    def __init__(self) -> None:
        self.noted: list[float] = []

    def loss(self, given: Any, wanted: Any) -> torch.Tensor:  # noqa: ARG002
        self.noted.append(float(given.detach()))
        return given

    def held_out_loss(self, student: Any) -> float:
        return float(student().detach())


class OneWeight(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(5.0))

    def forward(self) -> torch.Tensor:
        return self.weight * 1.0


def test_the_rate_is_relative_to_the_weight_and_falls_along_a_cosine() -> None:
    spec = DistilSpec(steps=20, every=10, learning_rate=0.01)
    student, lesson = fx.symbolic_trace(OneWeight()), Downhill()
    parameters = {"weight": student.weight}
    Trainer(student, parameters, lesson, spec, "minmax", None).run(Silent())
    moved = -np.diff([*lesson.noted, float(student.weight.detach())])
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(20) / 20))
    assert moved == pytest.approx(5 * 0.01 * cosine, rel=1e-3, abs=1e-6)
