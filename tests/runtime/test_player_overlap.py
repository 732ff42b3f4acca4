"""Frames that are read, followed and made at the same time are the frames that they are else.

The stubs spoil the memory of their outputs before each run, so that whatever is used a moment too
late would show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edgeanim.core.contract import Contract, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.core.overlap import Overlap
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from tests.runtime.stubs import ANIMATOR, ANIMATOR_BODIES, one_graph, picture, sessions, spot

WAY = [spot(20 + 2 * step, 20 + step) for step in range(14)]


def both_ways(player: Player, scene: Scene) -> tuple[list[np.ndarray], list[np.ndarray]]:
    alone = list(player.play(scene))
    with Overlap() as overlap:
        beside = list(overlap.ahead(player.play(scene, overlap)))
    return alone, beside


def _seeing() -> tuple[Contract, dict]:
    """The animator with a frame graph that takes the driver's mask as well."""
    last = ANIMATOR.graph("animate")
    mask = TensorSpec("mask", "mask", (1, 1, 8, 8), "NCHW")
    graphs = (*ANIMATOR.graphs[:2], replace(last, inputs=(*last.inputs, mask)))

    def shade(values):
        made = ANIMATOR_BODIES["animate"](values)
        return made | {"alpha": np.clip(1 - values["mask"], 0, 1).astype(np.float32)}

    return replace(ANIMATOR, graphs=graphs), ANIMATOR_BODIES | {"animate": shade}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_still_moves_the_same(layout, smooth):
    opened = sessions(ANIMATOR, ANIMATOR_BODIES, layout)
    player = Player(ANIMATOR, opened, motion=MotionOptions(smooth=smooth))
    alone, beside = both_ways(player, Scene(still=spot(32, 24), driver=WAY))
    assert len(alone) == len(WAY)
    np.testing.assert_array_equal(alone, beside)
    assert {"regions", "animate", "prepare", "compose"} == set(player.timings)


def test_so_it_does_where_frames_are_made_of_more_than_motion():
    contract, bodies = _seeing()
    player = Player(contract, sessions(contract, bodies))
    alone, beside = both_ways(player, Scene(still=spot(32, 24), driver=WAY))
    np.testing.assert_array_equal(alone, beside)


def test_so_it_does_by_a_stored_motion():
    track = np.zeros((5, 1, 6), np.float32)
    track[:, 0, 2] = track[:, 0, 5] = 0.5
    track[:, 0, 0] = np.linspace(0, 0.5, 5)
    player = Player(ANIMATOR, sessions(ANIMATOR, ANIMATOR_BODIES))
    alone, beside = both_ways(player, Scene(still=spot(20, 32), track=MotionTrack(track, 10)))
    np.testing.assert_array_equal(alone, beside)


def test_so_does_a_clip_whose_frames_are_redrawn_with_a_state_and_a_condition():
    state, style = (1, 3, 64, 64), (1, 3, 1, 1)
    image, seen = picture("image", "driving_frame", 64), picture("result", "frame", 64)
    before, after = (TensorSpec(name, "state:light", state, "NCHW") for name in ("before", "after"))
    tint = TensorSpec("tint", "condition:tint", style, "NCHW")
    contract = one_graph(image, before, tint, outputs=(seen, after))

    def fade(values):
        mixed = 0.5 * values["before"] + 0.5 * values["image"] * values["tint"]
        return {"result": mixed, "after": mixed}

    player = Player(contract, sessions(contract, {"net": fade}))
    tints = np.eye(3, dtype=np.float32)[:, :, None, None]
    alone, beside = both_ways(player, Scene(driver=WAY, conditions={"tint": tints}))
    np.testing.assert_array_equal(alone, beside)


def test_a_driver_that_breaks_off_breaks_off_at_the_same_frame():
    def breaking() -> Iterator[np.ndarray]:
        yield from WAY[:5]
        raise BadInput("The clip breaks off.")

    player = Player(ANIMATOR, sessions(ANIMATOR, ANIMATOR_BODIES))
    with Overlap() as overlap:
        scene = Scene(still=spot(32, 24), driver=breaking())
        frames = overlap.ahead(player.play(scene, overlap))
        assert len([next(frames) for _ in range(5)]) == 5
        with pytest.raises(BadInput, match="breaks off"):
            next(frames)


def test_after_the_block_no_session_is_at_work():
    opened = sessions(ANIMATOR, ANIMATOR_BODIES)
    player = Player(ANIMATOR, opened)
    with Overlap() as overlap:
        scene = Scene(still=spot(32, 24), driver=WAY * 100)
        next(overlap.ahead(player.play(scene, overlap)))
    ran = [len(session.seen) for session in opened.values()]
    assert max(ran) < 20
    player.close()
    assert ran == [len(session.seen) for session in opened.values()]
