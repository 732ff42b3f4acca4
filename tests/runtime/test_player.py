"""The player, on models of a few lines whose right answer is known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.errors import DeviceFailed, UsageError
from edgeanim.core.skeleton import Bone, Skeleton
from edgeanim.runtime import player as player_module
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import Variant
from tests.runtime.stubs import (
    ANIMATOR,
    ANIMATOR_BODIES,
    StubSession,
    animator,
    sessions,
    spot,
    with_an_arm,
)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_still_moves_as_the_driver_does(layout):
    player, _ = animator(layout)
    driver = [spot(20, 20), spot(28, 20), spot(28, 36)]
    frames = list(player.play(Scene(still=spot(32, 24), driver=driver)))
    # The stub's flow is uniform, so the whole still moves as the driver's spot has moved.
    for frame, (x, y) in zip(frames, [(32, 24), (40, 24), (40, 40)], strict=True):
        assert np.abs(frame.astype(int) - spot(x, y)).mean() < 1


def test_absolute_motion_goes_to_where_the_driver_is():
    player, _ = animator(transfer="raw")
    driver = [spot(20, 20), spot(28, 20)]
    frames = list(player.play(Scene(still=spot(32, 24), driver=driver)))
    for frame, expected in zip(frames, driver, strict=True):
        assert np.abs(frame.astype(int) - expected).mean() < 1


def test_a_stored_track_moves_the_still_without_the_regions_seeing_any_driver():
    player, opened = animator()
    track = np.zeros((3, 1, 6), np.float32)
    track[:, 0, 2] = track[:, 0, 5] = 0.5
    track[:, 0, 0] = [0.0, 0.25, 0.5]  # in units of half the picture: 8 pixels a frame
    frames = list(player.play(Scene(still=spot(20, 32), track=MotionTrack(track, 10))))
    for frame, x in zip(frames, [20, 28, 36], strict=True):
        assert np.abs(frame.astype(int) - spot(x, 32)).mean() < 1
    assert len(opened["regions"].seen) == 1  # on the still itself
    assert "regions" not in player.timings


@pytest.mark.parametrize(("transfer", "steps"), [(None, 16), ("pose", 16), ("raw", 8)])
def test_a_still_with_a_skeleton_goes_as_far_as_its_size_says(transfer, steps):
    contract = replace(ANIMATOR, regions=("spot",), skeleton=Skeleton((Bone(),)))
    player = Player(contract, sessions(contract, ANIMATOR_BODIES), motion=MotionOptions(transfer))
    track = np.zeros((3, 1, 6), np.float32)
    track[:, 0, 2] = track[:, 0, 5] = 0.25  # half the size of the still's region
    track[:, 0, 0] = [-0.375, -0.125, 0.125]  # from pixel 20 on, 8 pixels a frame
    frames = list(player.play(Scene(still=spot(20, 32), track=MotionTrack(track, 10))))
    for frame, x in zip(frames, range(20, 20 + 3 * steps, steps), strict=True):
        assert np.abs(frame.astype(int) - spot(x, 32)).mean() < 1
    assert player.reference == 0


def test_in_place_the_still_stays_where_its_driver_goes_away():
    contract = replace(ANIMATOR, regions=("spot",), skeleton=Skeleton((Bone(),)))
    player = Player(
        contract, sessions(contract, ANIMATOR_BODIES), motion=MotionOptions(in_place=True)
    )
    frames = list(player.play(Scene(still=spot(32, 24), driver=[spot(20, 20), spot(28, 36)])))
    for frame in frames:
        assert np.abs(frame.astype(int) - spot(32, 24)).mean() < 1


def test_how_far_the_drivers_body_goes_is_told():
    contract = replace(ANIMATOR, regions=("spot",), skeleton=Skeleton((Bone(),)))
    driver = [spot(20, 20), spot(28, 36), spot(26, 28)]
    for scene, way in (
        (Scene(still=spot(32, 24), driver=driver), np.hypot(8, 16) / 64),
        (Scene(still=spot(32, 24), driver=driver[:1] * 3), 0),
    ):
        player = Player(contract, sessions(contract, ANIMATOR_BODIES))
        list(player.play(scene))
        assert player.body_way == pytest.approx(way, abs=5e-3)
    player, _ = animator()
    list(player.play(Scene(still=spot(32, 24), driver=driver)))
    assert player.body_way == 0


@pytest.mark.parametrize("options", [{"in_place": True}, {"strength": 2.0}])
def test_without_a_skeleton_the_still_moves_as_its_driver_or_not_at_all(options):
    with pytest.raises(UsageError, match=r"how its regions are connected.*Leave out --in-place"):
        animator(**options)


@pytest.mark.parametrize("strength", [0.0, -1.0, 4.5, float("nan")])
def test_a_strength_that_the_command_refuses_is_refused_in_the_library_too(strength):
    with pytest.raises(UsageError, match="--strength: strength must be more than 0 and at most 4"):
        animator(strength=strength)


def test_a_still_goes_so_many_times_as_far_as_asked_for():
    contract = replace(ANIMATOR, regions=("spot",), skeleton=Skeleton((Bone(),)))
    player = Player(
        contract, sessions(contract, ANIMATOR_BODIES), motion=MotionOptions(strength=1.5)
    )
    driver = [spot(20, 32), spot(28, 32), spot(20, 40)]
    frames = list(player.play(Scene(still=spot(24, 24), driver=driver)))
    for frame, place in zip(frames, ((24, 24), (36, 24), (24, 36)), strict=True):
        assert np.abs(frame.astype(int) - spot(*place)).mean() < 1


def test_a_stored_motion_is_carried_over_from_the_pose_that_the_still_is_in():
    player, scene = with_an_arm()
    frames = list(player.play(scene))
    assert player.reference == 2
    for frame, x in zip(frames, (24, 32, 40), strict=True):
        assert np.abs(frame.astype(int) - spot(x, 32)).mean() < 1


def test_work_on_the_still_is_done_once_and_the_first_cue_is_zero():
    player, opened = animator()
    driver = [spot(20, 20), spot(28, 20), spot(28, 36)]
    list(player.play(Scene(still=spot(32, 24), driver=driver)))
    assert len(opened["encode"].seen) == 1
    assert len(opened["regions"].seen) == 4
    cues = [seen["cue"] for seen in opened["regions"].seen]
    assert not cues[0].any()
    assert not cues[1].any()
    frames = [seen["frame"] for seen in opened["regions"].seen]
    np.testing.assert_allclose(cues[2], frames[2] - frames[1], atol=1e-6)
    np.testing.assert_allclose(cues[3], frames[3] - frames[2], atol=1e-6)


def test_features_pass_between_sessions_untouched():
    player, opened = animator("NHWC")
    list(player.play(Scene(still=spot(32, 24), driver=[spot(20, 20)] * 3)))
    caches = [seen["cache"] for seen in opened["animate"].seen]
    assert caches[0].shape == (1, 8, 8, 2)
    assert all(cache is caches[0] for cache in caches)


def test_a_still_of_any_size_is_animated_at_its_own_size():
    still = np.concatenate([spot(32, 32), spot(32, 32), spot(32, 32)], axis=1)  # 64 x 192
    player, _ = animator()
    driver = [spot(32, 32), spot(40, 32)]
    frames = list(player.play(Scene(still=still, driver=driver)))
    assert [frame.shape for frame in frames] == [still.shape] * 2
    # 8 of the driver's 64 pixels are 24 of the canvas of 192.
    np.testing.assert_allclose(frames[1][:, 24:].astype(int), still[:, :-24].astype(int), atol=60)
    assert np.abs(frames[1][:, 24:].astype(int) - still[:, :-24]).mean() < 2


def test_a_transparent_still_stays_transparent():
    still = np.dstack([spot(32, 32), spot(32, 32)[..., 0]])
    player, _ = animator()
    frames = list(player.play(Scene(still=still, driver=[spot(32, 32), spot(40, 32)])))
    assert frames[1].shape == (64, 64, 4)
    assert np.abs(frames[1][..., 3].astype(int) - spot(40, 32)[..., 0]).mean() < 1


def test_frames_are_fresh_arrays():
    player, _ = animator()
    driver = [spot(20, 20), spot(28, 20), spot(36, 20)]
    scene = Scene(still=spot(32, 24), driver=driver)
    kept = list(player.play(scene))
    for frame, again in zip(kept, player.play(scene), strict=True):
        np.testing.assert_array_equal(frame, again)


def test_timings_name_the_stages_of_the_last_frame():
    player, _ = animator()
    for _ in player.play(Scene(still=spot(32, 24), driver=[spot(20, 20)] * 2)):
        assert set(player.timings) == {"prepare", "regions", "animate", "compose"}
        assert set(player.still_timings) == {"prepare", "regions", "encode"}
        assert all(seconds >= 0 for seconds in player.timings.values())


def test_recorded_inputs_have_the_contracts_layout_and_are_copies():
    seen: list[tuple[str, dict[str, np.ndarray]]] = []
    player, opened = animator("NHWC", record=lambda name, inputs: seen.append((name, dict(inputs))))
    list(player.play(Scene(still=spot(32, 24), driver=[spot(20, 20), spot(28, 20)])))
    names = [name for name, _ in seen]
    assert names == ["regions", "encode", "regions", "animate", "regions", "animate"]
    for name, inputs in seen:
        graph = ANIMATOR.graph(name)
        assert {n: a.shape for n, a in inputs.items()} == {s.name: s.shape for s in graph.inputs}
    first, second = (inputs["to"] for name, inputs in seen if name == "animate")
    assert not np.array_equal(first, second)
    recorded = (inputs for name, inputs in seen if name == "animate")
    for inputs, given in zip(recorded, opened["animate"].seen, strict=True):
        assert not any(np.shares_memory(inputs[name], given[name]) for name in inputs)


def test_closing_closes_every_session():
    player, opened = animator()
    with player:
        pass
    assert all(session.closed for session in opened.values())


def test_where_one_graph_cannot_be_loaded_no_session_stays_open(monkeypatch):
    opened: list[StubSession] = []

    def load(compiled, options):  # noqa: ARG001
        if len(opened) == 2:
            raise DeviceFailed("There is no memory left.")
        opened.append(StubSession(compiled.spec, ANIMATOR_BODIES[compiled.spec.name]))
        return opened[-1]

    monkeypatch.setattr(player_module, "get_backend", lambda _: SimpleNamespace(load=load))
    graphs = [CompiledGraph("stub", "float32", "float32", spec, ()) for spec in ANIMATOR.graphs]
    with pytest.raises(DeviceFailed, match="no memory"):
        load_player(ANIMATOR, Variant("stub", "float32", tuple(graphs)), SessionOptions())
    assert [session.closed for session in opened] == [True, True]
