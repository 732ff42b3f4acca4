"""The first golden frames of a bundle: enough to prove that it plays where playing is slow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeanim.runtime.golden import Golden


def first_frames(golden: Golden, count: int) -> Golden:
    """`golden` cut to its first `count` frames; a driver is followed as it comes, so they stay what
    they are, and it is cut as well.

    A stored motion is left whole, since all of it says which of its frames it is carried over from
    (see `runtime.transfer`): no more of it is to be played than there are golden frames. So is a
    scene without a driver or a motion, with its golden frames.
    """
    scene = golden.scene
    if scene.driver is not None:
        scene = replace(scene, driver=np.asarray(scene.driver)[:count])
    elif scene.track is None:
        return golden
    return Golden(scene, golden.frames[:count])
