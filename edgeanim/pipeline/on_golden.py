"""The first golden frames of a bundle: enough to prove that it plays where playing is slow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeanim.runtime.golden import Golden


def first_frames(golden: Golden, count: int) -> Golden:
    """`golden` cut to its first `count` frames; playing is causal, so they stay what they are.

    A scene without a driver or a motion is left whole.
    """
    scene = golden.scene
    if scene.track is not None:
        scene = replace(scene, track=replace(scene.track, values=scene.track.values[:count]))
    elif scene.driver is not None:
        scene = replace(scene, driver=np.asarray(scene.driver)[:count])
    else:
        return golden
    return Golden(scene, golden.frames[:count])
