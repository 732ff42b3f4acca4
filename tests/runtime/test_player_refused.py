"""What the player refuses, and in which words: scenes, tracks and models that do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from tests.runtime.stubs import (
    ANIMATOR,
    ANIMATOR_BODIES,
    animator,
    invert,
    one_graph,
    picture,
    sessions,
)


def test_what_a_scene_lacks_is_said_at_once_with_the_option(pictures):
    player, _ = animator()
    track = MotionTrack(np.zeros((2, 1, 6), np.float32), 10)
    for scene, said in [
        (Scene(driver=pictures), "--still IMAGE"),
        (Scene(still=pictures[0]), "--drive"),
        (Scene(still=pictures[0], track=track, conditions={"x": np.ones(1, np.float32)}), "'x'"),
    ]:
        with pytest.raises(UsageError, match=said):
            player.play(scene)
    contract = one_graph(
        picture("image", "driving_frame"), TensorSpec("style", "condition:style", (1, 4))
    )
    player = Player(contract, sessions(contract, {"net": invert}))
    with pytest.raises(UsageError, match=r"--input style=FILE\.npy"):
        player.play(Scene(driver=pictures))
    with pytest.raises(UsageError, match=r"stored motion is not enough.*--drive"):
        player.play(Scene(track=track, conditions={"style": np.ones((1, 4), np.float32)}))


def test_a_track_of_another_model_is_refused(pictures):
    player, _ = animator()
    track = MotionTrack(np.zeros((2, 7, 6), np.float32), 10)
    with pytest.raises(BadInput, match="7 regions"):
        player.play(Scene(still=pictures[0], track=track))


def test_a_track_is_refused_by_a_model_that_takes_no_motion():
    """It made one frame of it, without a word."""
    light = TensorSpec("light", "condition:light", (1, 1, 1, 1))
    contract = one_graph(light)
    player = Player(contract, sessions(contract, {"net": invert}))
    track = MotionTrack(np.zeros((2, 1, 6), np.float32), 10)
    with pytest.raises(
        UsageError, match=r"cannot be driven by a stored motion.*--input of one value"
    ):
        player.play(Scene(track=track, conditions={"light": np.ones((3, 1, 1, 1), np.float32)}))


def test_a_track_of_a_model_with_as_many_other_regions_is_refused(pictures):
    contract = replace(ANIMATOR, regions=("head",))
    player = Player(contract, sessions(contract, ANIMATOR_BODIES))
    values = np.zeros((2, 1, 6), np.float32)
    for known in (None, ("head",)):
        track = MotionTrack(values, 10, known)
        assert len(list(player.play(Scene(still=pictures[0], track=track)))) == 2
    with pytest.raises(BadInput, match=r"of the regions wheel, but .* has head"):
        player.play(Scene(still=pictures[0], track=MotionTrack(values, 10, ("wheel",))))


def test_a_driver_too_short_or_of_changing_size_is_refused(pictures):
    player, _ = animator()
    with pytest.raises(BadInput, match="a clip of one frame"):
        list(player.play(Scene(still=pictures[0], driver=pictures[:1])))
    with pytest.raises(BadInput, match="no frames"):
        list(player.play(Scene(still=pictures[0], driver=[])))
    with pytest.raises(BadInput, match="Frame 1 of the driver has 32x64 pixels"):
        list(player.play(Scene(still=pictures[0], driver=[pictures[0], pictures[1][:, :32]])))


def test_a_model_that_gives_nan_is_stopped(pictures):
    bodies = ANIMATOR_BODIES | {
        "animate": lambda v: {k: a * np.nan for k, a in ANIMATOR_BODIES["animate"](v).items()}
    }
    player = Player(ANIMATOR, sessions(ANIMATOR, bodies))
    with pytest.raises(BadInput, match="'flow' holds NaN"):
        list(player.play(Scene(still=pictures[0], driver=pictures)))


def test_relative_motion_needs_a_model_that_finds_the_stills_own(pictures):
    contract = one_graph(picture("image", "still"), TensorSpec("to", "motion:driving", (1, 1, 6)))
    track = MotionTrack(np.zeros((2, 1, 6), np.float32), 10)
    scene = Scene(still=pictures[0], track=track)
    opened = sessions(contract, {"net": invert})
    with pytest.raises(UsageError, match="cannot be relative"):
        list(Player(contract, opened, motion=MotionOptions("relative")).play(scene))
    assert len(list(Player(contract, opened).play(scene))) == 2
    with pytest.raises(UsageError, match="cannot find the motion"):
        Player(contract, opened).play(Scene(still=pictures[0], driver=pictures))


def test_a_graph_that_finds_motion_too_late_is_named(pictures):
    finds = GraphSpec(
        "keypoints", "k.onnx", "frame", (picture("seen", "still"),),
        (TensorSpec("to", "motion", (1, 1, 6)),),
    )  # fmt: skip
    net = one_graph(picture("image", "still"), TensorSpec("to", "motion:driving", (1, 1, 6)))
    contract = replace(net, graphs=(finds, *net.graphs))
    with pytest.raises(UsageError, match=r"keypoints.*driver"):
        Needs.of(contract).check(Scene(still=pictures[0], driver=pictures), contract)


def test_a_model_that_makes_no_picture_or_half_of_one_is_refused():
    alpha = TensorSpec("alpha", "alpha", (1, 1, 8, 8), "NCHW")
    flow = TensorSpec("flow", "flow", (1, 2, 8, 8), "NCHW")
    for outputs, said in [((alpha,), "makes a picture"), ((flow, alpha), "alpha` and `colour")]:
        contract = one_graph(picture("image", "still"), outputs=outputs)
        with pytest.raises(BadInput, match=said):
            Player(contract, sessions(contract, {"net": invert}))


def test_a_graph_without_a_session_is_named():
    opened = sessions(ANIMATOR, ANIMATOR_BODIES)
    del opened["encode"]
    with pytest.raises(BadInput, match="'encode'"):
        Player(ANIMATOR, opened)


def test_further_stills_are_refused_by_a_model_that_makes_frames_of_more_than_one(pictures):
    state = TensorSpec("before", "state:light", (1, 1)), TensorSpec("after", "state:light", (1, 1))
    find, encode, animate = ANIMATOR.graphs
    sees = replace(animate, inputs=(*animate.inputs, picture("seen", "driving_frame")))
    remembers = replace(
        animate, inputs=(*animate.inputs, state[0]), outputs=(*animate.outputs, state[1])
    )
    blind = replace(find, outputs=tuple(s for s in find.outputs if s.role != "motion"))
    scene = Scene(pictures[0], driver=pictures, more_stills=pictures[1:2])
    track = MotionTrack(np.zeros((2, 1, 6), np.float32), 10)
    for graphs, played in (
        ((find, encode, sees), scene),
        ((find, encode, remembers), scene),
        ((blind, encode, animate), replace(scene, driver=None, track=track)),
    ):
        contract = replace(ANIMATOR, graphs=graphs)
        player = Player(contract, sessions(contract, ANIMATOR_BODIES))
        with pytest.raises(UsageError, match=r"no other still can take over.*--more-stills"):
            player.play(played)
        with pytest.raises(UsageError, match="no other still can take over"):
            player.prepare(played)
        player.play(replace(played, more_stills=()))
