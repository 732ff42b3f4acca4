"""The held-out frames in other light: what they alone cannot tell of the frames to come.

They come from the very clips that calibration saw, so they are the kindest that a model will play.
An interval over them says how well their own mean is known, not how much worse a picture of another
kind fares; and a search for the fastest candidate within a limit uses up all the room that the
limit leaves. So what a search picks has to keep to the limit on the same frames in other light too.
A contrast of 0.3 is the second of the five levels of Hendrycks and Dietterich (2019); its inverse,
and the same towards black and towards white, stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.core.contract import Contract
from edgeanim.core.limit import DriftLimit, Judged
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.work import Work, open_player, play
from edgeanim.runtime.golden import Golden, load_golden
from edgeanim.runtime.moments import at_moments, moments
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.scene import Picture, Scene
from edgeanim.targets.bundle import Variant

_SHARE = 0.3
_WHITE = 255.0


def _about(grey: float, factor: float) -> Callable[[Picture], Picture]:
    """Every value's distance from `grey` times `factor`; a transparency stays."""

    def in_light(picture: Picture) -> Picture:
        colour = grey + factor * (picture[..., :3].astype(np.float32) - grey)
        made = picture.copy()
        made[..., :3] = np.rint(colour.clip(0, _WHITE))
        return made

    return in_light


LIGHTS = (
    _about(_WHITE / 2, _SHARE),
    _about(_WHITE / 2, 1 / _SHARE),
    _about(0.0, _SHARE),
    _about(_WHITE, _SHARE),
)
"""Little contrast, much contrast, dark, and bleached: each from a picture uint8 [..., 3 or 4]."""


@dataclass(frozen=True)
class Likeness:
    """How alike frames are to the original's, over all of them."""

    drift_mean: float
    ssim_p5: float


def relit(scene: Scene, contract: Contract) -> tuple[Scene, ...]:
    """`scene` once in each light, each time with a share of its frames, so that it takes no longer
    to play; none of a scene without pictures, or where no graph sees them. Its driver is an
    array."""
    if (scene.still is None and scene.driver is None) or not Needs.of(contract).sees:
        return ()
    return tuple(_in_light(scene, number, contract) for number in range(len(LIGHTS)))


def _in_light(scene: Scene, number: int, contract: Contract) -> Scene:
    light, count = LIGHTS[number], moments(scene)
    if count:
        kept = np.arange(number % count, count, len(LIGHTS))
        if len(kept) == 1 < count and scene.driver is not None and Needs.of(contract).motion:
            kept = max(kept[0], 1) + np.array([-1, 0])  # a frame alone shows no motion
        scene = at_moments(scene, kept, contract)
    still = None if scene.still is None else light(scene.still)
    driver = None if scene.driver is None else light(np.asarray(scene.driver))
    return replace(scene, still=still, driver=driver)


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
    with open_player(work, model.contract, variant) as player:
        for one in golden:
            found += measure_drift(play(player, one.scene), one.frames).ssim
    return Likeness(1 - float(np.mean(found)), float(np.percentile(found, 5)))


def excess(limit: DriftLimit, drift: Judged, other_light: Judged | None) -> float:
    """How much of `limit` is used, in the usual or in other light, whichever uses more."""
    usual = limit.excess(drift)
    return usual if other_light is None else max(usual, limit.excess(other_light))
