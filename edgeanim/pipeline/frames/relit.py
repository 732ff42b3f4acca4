"""Scenes in other light: what a few clips cannot tell of the pictures to come.

A contrast of 0.3 is the second of the five levels of Hendrycks and Dietterich (2019); its inverse,
and the same towards black and towards white, stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgeanim.core.contract import Contract
from edgeanim.runtime.moments import at_moments, moments
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.scene import Picture, Scene

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


def also_relit(scenes: Sequence[Scene], contract: Contract) -> list[Scene]:
    """`scenes`, and then a share of their frames in other light: of fewer scenes than there are
    lights each in all of them, else each in one, by turns."""
    others = [relit(scene, contract) for scene in scenes]
    if len(scenes) >= len(LIGHTS):
        others = [one[i % len(LIGHTS) :][:1] for i, one in enumerate(others)]
    return [*scenes, *(scene for one in others for scene in one)]
