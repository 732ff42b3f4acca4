"""Adapting a trained animator to one's own character, from a clip of some seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeanim.models.config import load_animator_config
from edgeanim.models.training.config import (
    DataConfig,
    LossWeights,
    Phase,
    Precision,
    TrainConfig,
)

_PUPPETS = 60
_CLIP_SHARE = 0.85
"""The rest of a batch are puppets: their known masks keep the regions from drifting into whatever
colours happen to reconstruct one character best."""


def adaptation(
    clips: Sequence[Path], start: Path, *, threads: int = 2, precision: Precision = "float32"
) -> TrainConfig:
    """The training that adapts the animator in the folder `start` to the character in `clips`,
    files of one folder, in as many steps as two cores do in less than a quarter of an hour.

    There is no discriminator: with so few frames it learns them by heart.
    """
    steps = 100 if precision == "bfloat16" else 60
    return TrainConfig(
        model=load_animator_config(start),
        data=DataConfig(
            puppets=_PUPPETS,
            clips=clips[0].parent,
            clip_names=tuple(path.name for path in clips),
            clip_share=_CLIP_SHARE,
            weak_labels=True,
            optical_flow=True,
            recolour_clips=False,
            bend_clips=True,
        ),
        start=start,
        regions=(Phase(150, batch=8, sizes=(128, 256), learning_rate=1.5e-3),),
        generator=(
            Phase(8 * steps, batch=8, sizes=(192,), learning_rate=2.4e-3),
            Phase(2 * steps, batch=8, sizes=(256,), learning_rate=6e-4),
        ),
        optimizer="muon",
        precision=precision,
        losses=LossWeights(structure=3.0, adversarial=0.0, features=0.0),
        joint=True,
        ema=0.99,
        checkpoint_every=50,
        threads=threads,
    )
