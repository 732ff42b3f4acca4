"""Adapting a trained animator to one's own character, from a clip of some seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeanim.core.progress import SILENT
from edgeanim.core.threads import torch_threads
from edgeanim.models.config import load_animator_config
from edgeanim.models.training.batches import Batch, draw_batch, load_material
from edgeanim.models.training.config import (
    DataConfig,
    LossWeights,
    Phase,
    Precision,
    TrainConfig,
)
from edgeanim.models.training.run import build_networks
from edgeanim.models.training.stages import generator_step

_PUPPETS = 60
_CLIP_SHARE = 0.85
"""The rest of a batch are puppets: their known masks keep the regions from drifting into whatever
colours happen to reconstruct one character best."""
_REGIONS_STEPS = 150
LEAST_STEPS, MOST_STEPS = 600, 1000
"""Of all networks together. More of them bring less than two trainings differ by."""
_SECONDS = 720.0
"""What a training may take, so that it is done in a quarter of an hour in any case."""
_STEP_IN_TRIALS = 1.6
"""How many trials below a training takes for each of its steps, of which a part sees 256 pixels,
with the batches that are drawn and the sheets that are written meanwhile; measured on Zen 5."""


@dataclass(frozen=True)
class Pace:
    """The precision in which a processor trains best, and how many steps of all networks it does in
    the time that there is."""

    precision: Precision
    steps: int


def measured_pace(course: TrainConfig, precisions: Sequence[Precision]) -> Pace:
    """The best of these `precisions` for the training `course` on this processor, by a trial on a
    puppet: the one in which it takes the most steps in time, the first of those in which it takes
    all.

    bfloat16 takes less time than float32 on some processors, and more on others; as many steps in
    it teach a little less."""
    data, phase = DataConfig(puppets=1), course.generator[0]
    material = load_material(data, SILENT)
    batch = draw_batch(material, data, phase.sizes[0], phase.batch, (course.seed,))
    with torch_threads(course.threads):
        seconds = {
            each: _seconds_of_a_step(replace(course, precision=each), batch) for each in precisions
        }
    steps = {each: min(_steps_in_time(seconds[each]), MOST_STEPS) for each in precisions}
    precision = max(precisions, key=lambda each: steps[each])
    return Pace(precision, max(steps[precision], LEAST_STEPS))


def _steps_in_time(seconds: float) -> int:
    return int(_SECONDS / (_STEP_IN_TRIALS * seconds)) - _REGIONS_STEPS


def _seconds_of_a_step(course: TrainConfig, batch: Batch) -> float:
    """What a step of all networks takes: the least of three, after one to warm up."""
    networks = build_networks(course)
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        generator_step(networks, batch, course.losses, joint=course.joint, adversarial=False)
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])


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
