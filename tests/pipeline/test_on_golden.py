"""The first golden frames of a bundle, played by themselves."""

from __future__ import annotations

import numpy as np

from edgeanim.pipeline.on.golden import first_frames
from edgeanim.pipeline.work import play
from edgeanim.runtime.golden import Golden
from tests.runtime.stubs import with_an_arm


def test_the_first_frames_of_a_stored_motion_are_those_of_the_whole() -> None:
    """Where it is carried over from may be a frame that is not among them."""
    player, scene = with_an_arm()
    whole = play(player, scene)
    assert player.reference == 2
    cut = first_frames(Golden(scene, whole), 2)
    np.testing.assert_array_equal(cut.frames, whole[:2])
    np.testing.assert_array_equal(play(player, cut.scene, len(cut.frames)), cut.frames)
