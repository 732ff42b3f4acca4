"""How far a changed model is from the unchanged one on some takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from edgeanim.quantize.pruning.takes import Take
from edgeanim.quantize.pruning.whole import Played, WholeModel
from edgeanim.quantize.pruning.whole_loss import PlayedLoss


class Judge:
    """Knows what `teacher` makes of `takes`; `loss` is the distance from that of one take."""

    def __init__(self, teacher: WholeModel, takes: Sequence[Take]) -> None:
        self._takes = [(take, wanted_of(teacher, take)) for take in takes]
        self.loss = PlayedLoss([wanted for _, wanted in self._takes])

    def __call__(self, student: WholeModel) -> float:
        """The mean loss of `student` over the takes."""
        return self._mean(student, self.loss)

    def seen(self, student: WholeModel) -> float:
        """The same of the finished frames alone, as drift counts it."""
        return self._mean(student, self.loss.seen)

    def _mean(self, student: WholeModel, loss: Callable[[Played, Played], torch.Tensor]) -> float:
        with torch.no_grad():
            losses = [float(loss(student(take), wanted)) for take, wanted in self._takes]
        return float(np.mean(losses))


def wanted_of(teacher: WholeModel, take: Take) -> Played:
    """What `teacher` makes of `take`, without its picture, which is in the take anyway."""
    with torch.no_grad():
        played: Played = teacher(take)
    return replace(played, picture=None)
