"""A training of seconds, and how to kill it."""

from __future__ import annotations

from dataclasses import replace

from edgeanim.models.config import AnimatorConfig
from edgeanim.models.training.config import DataConfig, Phase, TrainConfig

TINY = AnimatorConfig(
    "tiny", 64, regions=(8, 8, 16, 16, 16), encoder=(8, 16, 16), generator=(8, 16, 16)
)
CONFIG = TrainConfig(
    model=TINY,
    data=DataConfig(puppets=2, moments=2, clip_share=0.0),
    regions=(Phase(50, batch=4, sizes=(64,), learning_rate=5e-3),),
    # Untrained, an animator shows the still before its backdrop: it takes large steps to better it.
    generator=(Phase(60, batch=4, sizes=(64,), learning_rate=1e-2),),
    joint=True,
    checkpoint_every=25,
)

SHORT = replace(
    CONFIG,
    checkpoint_every=4,
    regions=(Phase(6, batch=2, sizes=(64,)),),
    generator=(Phase(8, batch=2, sizes=(64,)),),
)
"""Of a few steps, with checkpoints in both stages: to be killed and gone on with."""


class Killed(Exception):
    pass


class KillAfter:
    """Progress that kills the training after `steps` of its steps."""

    def __init__(self, steps):
        self.left = steps
        self.training = False

    def stage(self, title, total=None):  # noqa: ARG002
        self.training = title == "training"

    def step(self, count=1, note=""):  # noqa: ARG002
        if self.training and count:
            self.left -= count
            if self.left < 0:
                raise Killed

    def done(self, note=""):
        pass
