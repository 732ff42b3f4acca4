"""Motion that is read wrongly is mended by the driver's own frames, and what is right stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import UsageError
from edgeanim.core.overlap import Overlap
from edgeanim.runtime.execution import Shown
from edgeanim.runtime.following import Step
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import Player
from edgeanim.runtime.refining import REFINE, moved, refined_steps, small_still
from edgeanim.runtime.scene import Scene
from tests.runtime.stubs import (
    ANIMATOR,
    ANIMATOR_BODIES,
    brightest,
    picture,
    sessions,
    spot,
)

cv2 = pytest.importorskip("cv2")

DRIVER = [
    cv2.GaussianBlur(spot(x, y), (0, 0), 3) for x, y in ((24, 24), (32, 24), (36, 30), (28, 36))
]
CHANGES = hnp.arrays(np.float64, (3, 6), elements=st.floats(-0.4, 0.4))


def _misread(values):
    """What is brightest, two pixels aside once something moves."""
    made = brightest(values)
    if values["cue"].any():
        made["motion"][0, 0, :2] += np.float32([0.06, -0.05])
    return made


def _player(regions=_misread, layout="NCHW", record=None, **options) -> Player:
    bodies = {**ANIMATOR_BODIES, "regions": regions}
    motion = MotionOptions("raw", **options)
    return Player(ANIMATOR, sessions(ANIMATOR, bodies, layout), record, motion=motion)


def _off(frames, driver=DRIVER) -> list[float]:
    pairs = zip(frames, driver, strict=True)
    return [float(np.abs(a.astype(int) - b).mean()) for a, b in pairs]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("overlapping", [False, True])
def test_what_is_misread_is_mended_by_the_drivers_frames(layout, overlapping):
    scene = Scene(still=DRIVER[0], driver=DRIVER)
    plain = _off(_player(layout=layout).play(scene))
    with Overlap() as overlap:
        refined = _player(layout=layout, refine=True).play(scene, overlap if overlapping else None)
        off = _off(refined)
    assert min(plain[1:]) > 3
    assert max(off) < 0.6


def test_what_is_read_rightly_stays():
    scene = Scene(still=DRIVER[0], driver=DRIVER)
    frames = list(_player(brightest).play(scene))
    refined = list(_player(brightest, refine=True).play(scene))
    assert max(_off(refined, frames)) < 0.5


def test_refined_motion_is_smoothed_too():
    twice = [frame for frame in DRIVER for _ in range(4)]
    scene = Scene(still=twice[0], driver=twice)
    # In the middle of a rest nothing is left to be smoothed.
    off = _off(_player(refine=True, smooth=True).play(scene), twice)
    assert max(off[4 * i + 2] for i in range(4)) < 1.5


def test_frames_made_to_try_motions_are_not_recorded_and_their_seconds_are_told():
    seen: list[str] = []
    player = _player(record=lambda graph, _: seen.append(graph), refine=True)
    for _ in player.play(Scene(still=DRIVER[0], driver=DRIVER)):
        assert player.timings[REFINE] > 0
    assert seen.count("animate") == len(DRIVER)


def test_stills_that_are_large_or_transparent_are_refined_as_others():
    driver = [np.kron(frame, np.ones((6, 6, 1), np.uint8)) for frame in DRIVER]
    clear = np.concatenate([driver[0], np.full_like(driver[0][:, :, :1], 255)], axis=2)
    for still in (driver[0], clear):
        frames = list(_player(refine=True).play(Scene(still=still, driver=driver)))
        assert max(_off([frame[:, :, :3] for frame in frames], driver)) < 3
        assert all(frame.shape == still.shape for frame in frames)


@pytest.mark.parametrize("size", [(300, 200), (90, 1000), (3, 7000), (128, 128), (20, 31)])
def test_a_still_is_shrunk_in_its_shape_and_never_enlarged(size):
    small = small_still(np.zeros((*size, 3), np.uint8))
    scale = min(1, 128 / max(size))
    for made, side in zip(small.shape[:2], size, strict=True):
        assert made >= 1
        assert made == pytest.approx(scale * side, abs=1)


@given(CHANGES)
def test_changes_turn_shift_and_stretch_and_none_changes_nothing(change):
    rng = np.random.default_rng(0)
    motion = rng.uniform(-0.5, 0.5, (1, 3, 6)).astype(np.float32)
    np.testing.assert_allclose(moved(motion, np.zeros((3, 6))), motion, atol=1e-6)
    rigid = change.copy()
    rigid[:, 3:] = 0
    sizes = [
        np.abs(np.linalg.det(m[0, :, 2:].reshape(-1, 2, 2))) for m in (motion, moved(motion, rigid))
    ]
    np.testing.assert_allclose(*sizes, atol=1e-5)
    away = np.linalg.norm(moved(motion, rigid)[0, :, :2] - motion[0, :, :2], axis=1)
    reach = np.linalg.norm(motion[0, :, 2:].reshape(-1, 2, 2), ord=2, axis=(1, 2))
    assert (away <= reach * np.linalg.norm(rigid[:, :2], axis=1) + 1e-5).all()
    assert moved(motion, change).dtype == np.float32


def _blob(motion: np.ndarray) -> np.ndarray:
    """A grey spot of the first region's place and shape, uint8 [64, 64, 3]."""
    at = (np.arange(64) + 0.5) / 32 - 1
    grid = np.stack(np.meshgrid(at, at), axis=-1)
    axes = motion[0, 0, 2:].reshape(2, 2).astype(np.float64)
    place = (grid - motion[0, 0, :2]) @ np.linalg.inv(axes).T
    light = 200 * np.exp(-2 * (place**2).sum(-1))
    return np.repeat(np.rint(light)[:, :, None].astype(np.uint8), 3, axis=2)


def _steps(motions: list[np.ndarray], frames: list[np.ndarray]) -> Iterator[Step]:
    for motion, frame in zip(motions, frames, strict=True):
        yield Step({"driving_frame": Shown(frame)}, motion, {})


def _counted(make: Callable[[np.ndarray], np.ndarray]):
    made: list[np.ndarray] = []

    def counting(_: int, motion: np.ndarray) -> np.ndarray:
        made.append(motion)
        return make(motion)

    return counting, made


TRUE = np.float32([[[0.1, -0.05, 0.35, 0.05, -0.05, 0.3]]])


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, (1, 6), elements=st.floats(-0.2, 0.2)))
def test_from_wherever_it_is_read_the_frame_comes_nearer(change):
    read = moved(TRUE, change)
    shown = _blob(TRUE)
    [step] = refined_steps(_steps([read], [shown]), lambda _, motion: _blob(motion))

    def off(motion):
        return np.abs(_blob(motion).astype(int) - shown).mean()

    assert off(step.motion) <= off(read) + 0.05
    if off(read) > 2:
        assert off(step.motion) < 0.8 * off(read)


def _lit(weave: float, light: float) -> np.ndarray:
    """A woven patch and a broad light at these places from left to right, uint8 [64, 64, 3]."""
    at = (np.arange(64) + 0.5) / 32 - 1
    x, y = np.meshgrid(at, at)
    threads = np.sin(30 * (x - weave)) * np.sin(30 * y)
    woven = 50 * threads * np.exp(-((x - weave) ** 2 + y**2) / (2 * 0.2**2))
    shade = 100 * np.exp(-((x - light) ** 2 + y**2) / (2 * 0.6**2))
    levels = np.rint(np.clip(100 + woven + shade, 0, 255)).astype(np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def test_texture_tells_where_something_is_and_light_on_plain_ground_hardly():
    still = np.float32([[[0, 0, 0.4, 0, 0, 0.4]]])

    def make(_: int, motion: np.ndarray) -> np.ndarray:
        return _lit(float(motion[0, 0, 0]), float(motion[0, 0, 0]))

    [step] = refined_steps(_steps([still], [_lit(0.04, -0.15)]), make)
    assert 0.015 < step.motion[0, 0, 0] < 0.04


def test_what_is_not_in_the_picture_is_neither_moved_nor_tried():
    gone = np.concatenate([TRUE, np.float32([[[0.5, 0.5, 1e-4, 0, 0, 1e-4]]])], axis=1)
    read = gone + np.float32([0.05, 0, 0, 0, 0, 0])
    make, made = _counted(_blob)
    [step] = refined_steps(_steps([read], [_blob(TRUE)]), make)
    np.testing.assert_allclose(step.motion[0, 1], read[0, 1], atol=1e-6)
    assert np.abs(step.motion[0, 0] - TRUE[0, 0]).max() < 0.03
    # A frame as it is read, and four times six slopes and at most four lengths of a step.
    assert len(made) <= 1 + 4 * (6 + 4)


def test_where_nothing_is_there_nothing_is_tried():
    gone = np.zeros((1, 2, 6), np.float32)
    make, made = _counted(lambda _: np.zeros((64, 64, 3), np.uint8))
    [step] = refined_steps(_steps([gone], [_blob(TRUE)]), make)
    np.testing.assert_array_equal(step.motion, gone)
    assert len(made) == 1


def test_a_frame_begins_with_what_the_one_before_it_was_off_by():
    read = moved(TRUE, np.array([[0.3, -0.3, 0.2, 0.0, 0.0, 0.0]]))
    shown = _blob(TRUE)
    make, made = _counted(_blob)
    list(refined_steps(_steps([read], [shown]), make))
    first = len(made)
    list(refined_steps(_steps([read] * 2, [shown] * 2), make))
    begun = [np.abs(_blob(made[at]).astype(int) - shown).mean() for at in (first, 2 * first)]
    assert begun[0] > 5
    assert begun[1] < 0.1 * begun[0]


def test_what_frames_are_made_of_more_than_motion_is_refused():
    frame, motion = picture("frame", "driving_frame"), TensorSpec("to", "motion:driving", (1, 1, 6))
    out = (picture("result", "frame"),)
    both = Contract("stub", (GraphSpec("net", "net.onnx", "frame", (frame, motion), out),))
    with pytest.raises(UsageError, match=r"more than motion.*Leave out --refine"):
        Player(
            both,
            sessions(both, {"net": lambda values: {"result": values["frame"]}}),
            motion=MotionOptions(refine=True),
        )


def test_a_state_from_frame_to_frame_is_refused():
    state = TensorSpec("seen", "state:seen", (1, 1, 6))
    graphs = [
        replace(
            graph, inputs=(*graph.inputs, state), outputs=(*graph.outputs, replace(state, name="s"))
        )
        if graph.name == "animate"
        else graph
        for graph in ANIMATOR.graphs
    ]
    contract = replace(ANIMATOR, graphs=tuple(graphs))
    with pytest.raises(UsageError, match=r"carries a state.*Leave out --refine"):
        Player(contract, sessions(contract, ANIMATOR_BODIES), motion=MotionOptions(refine=True))


def test_a_stored_motion_is_refused():
    track = MotionTrack(np.zeros((3, 1, 6), np.float32), 10)
    with pytest.raises(UsageError, match="no frames by which it could be refined"):
        _player(refine=True).play(Scene(still=DRIVER[0], track=track))
