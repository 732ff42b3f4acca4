"""Adapting a trained animator to one's own character, from a clip of some seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from edgeanim.core.threads import torch_threads
from edgeanim.models.animator import Animator, load_animator
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
_REGIONS_STEPS = 150
LEAST_STEPS, MOST_STEPS = 600, 1000
"""Of all networks together. With more, what was not seen is still won back a little better."""
_SECONDS = 720.0
"""What a training may take, so that it is done in a quarter of an hour in any case."""
_TRIAL_BATCH, _TRIAL_SIZE = 8, 192
_STEP_IN_TRIALS = 1.8
"""How many trials below a training takes for each of its steps, of which a part sees 256 pixels,
with its losses, its optimiser and the sheets that are written meanwhile; measured on Zen 5."""


def affordable_steps(start: Path, threads: int) -> int:
    """How many steps of all networks a processor does in the time that there is, by a trial."""
    animator = load_animator(start).train()
    with torch_threads(threads):
        seconds = min(_seconds_of_a_trial(animator) for _ in range(3))
    steps = int(_SECONDS / (_STEP_IN_TRIALS * seconds)) - _REGIONS_STEPS
    return min(max(steps, LEAST_STEPS), MOST_STEPS)


def _seconds_of_a_trial(animator: Animator) -> float:
    """The time for pictures that mean nothing to go through all networks, and gradients back."""
    begun = time.perf_counter()
    pictures = torch.zeros(_TRIAL_BATCH, 3, _TRIAL_SIZE, _TRIAL_SIZE)
    mask, still = animator.regions(pictures, pictures)
    _, driving = animator.regions(pictures, pictures)
    made = animator.generator(*animator.encoder(pictures, mask), still, driving)
    sum(each.mean() for each in made).backward()
    return time.perf_counter() - begun


def adaptation(
    clips: Sequence[Path],
    start: Path,
    *,
    threads: int = 2,
    precision: Precision = "float32",
    steps: int = MOST_STEPS,
) -> TrainConfig:
    """The training that adapts the animator in the folder `start` to the character in `clips`,
    files of one folder, with so many `steps` of all networks, the last fifth on larger pictures.

    There is no discriminator: with so few frames it learns them by heart.
    """
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
        regions=(Phase(_REGIONS_STEPS, batch=8, sizes=(128, 256), learning_rate=1.5e-3),),
        generator=(
            Phase(steps - steps // 5, batch=8, sizes=(192,), learning_rate=2.4e-3),
            Phase(steps // 5, batch=8, sizes=(256,), learning_rate=6e-4),
        ),
        optimizer="muon",
        precision=precision,
        losses=LossWeights(structure=3.0, adversarial=0.0, features=0.0),
        joint=True,
        ema=0.99,
        checkpoint_every=50,
        threads=threads,
    )
