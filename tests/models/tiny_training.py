"""A training of seconds, how far off what it makes is, and how to kill it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from edgeanim.core.progress import SILENT
from edgeanim.models.config import AnimatorConfig
from edgeanim.models.training.batches import draw_batch, load_material
from edgeanim.models.training.config import DataConfig, Phase, TrainConfig
from edgeanim.models.training.losses import compose, motion_weight, multiscale_l1, segmentation

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


def fixed_batch():
    """Pairs of frames of the training's puppets, always the same."""
    return draw_batch(load_material(CONFIG.data, SILENT), CONFIG.data, 64, 8, (0, 12345))


def errors(animator, batch):
    """Of the regions and of the finished frames, on a fixed batch."""
    animator.eval()
    with torch.no_grad():
        predicted = animator.regions.predict(batch.driving, batch.cue)
        _, motion = predicted.masks_and_motion()
        still_mask, still_motion = animator.regions(batch.still, torch.zeros_like(batch.cue))
        features = animator.encoder(batch.still, still_mask)
        flow, alpha, colour = animator.generator(*features, still_motion, motion)
        frame, _ = compose(batch.still, flow, alpha, colour)
    weight = motion_weight(batch.still, batch.driving, 4.0)
    return (
        float(segmentation(predicted.scores, batch.label_driving)),
        float(multiscale_l1(frame, batch.driving, weight)),
    )


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


def brightening(shade: int) -> NDArray[np.uint8]:
    """Three frames for a clip, each a little brighter all over than the one before."""
    return np.repeat(np.arange(shade, shade + 36, 12, np.uint8), 64 * 64 * 3).reshape(3, 64, 64, 3)
