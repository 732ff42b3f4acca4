"""The held-out frames in other light: what they alone cannot tell of the frames to come.

They come from the very clips that calibration saw, so they are the kindest that a model will play.
An interval over them says how well their own mean is known, not how much worse a picture of another
kind fares; and a search for the fastest candidate within a limit uses up all the room that the
limit leaves. So what a search picks has to keep to the limit on the same frames in other light too
(`frames.relit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.core.limit import DriftLimit, Judged
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.frames.relit import relit
from edgeanim.pipeline.work import Work, play, player_of
from edgeanim.runtime.golden import Golden, load_golden
from edgeanim.runtime.scene import Scene
from edgeanim.targets.bundle import Variant


@dataclass(frozen=True)
class Likeness:
    """How alike frames are to the original's, over all of them."""

    drift_mean: float
    ssim_p5: float


def golden_relit(work: Work, model: Model, scene: Scene) -> tuple[Golden, ...]:
    """What the float32 `model` makes of `scene` in other light, from the store where it has it."""
    return tuple(load_golden(make_golden(work, model, one)) for one in relit(scene, model.contract))


def drift_relit(
    work: Work, model: Model, variant: Variant, golden: tuple[Golden, ...]
) -> Likeness | None:
    """How far `variant` is from `golden`, all lights together; `None` without any."""
    if not golden:
        return None
    found: list[float] = []
    with player_of(work, model.contract, variant) as player:
        for one in golden:
            found += measure_drift(play(player, one.scene), one.frames).ssim
    return Likeness(1 - float(np.mean(found)), float(np.percentile(found, 5)))


def excess(limit: DriftLimit, drift: Judged, other_light: Judged | None) -> float:
    """How much of `limit` is used, in the usual or in other light, whichever uses more."""
    usual = limit.excess(drift)
    return usual if other_light is None else max(usual, limit.excess(other_light))
