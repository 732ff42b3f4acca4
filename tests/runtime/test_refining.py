"""Motion that is read wrongly is mended by the driver's own frames, and what is right stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import UsageError
from edgeanim.core.overlap import Overlap
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import Player
from edgeanim.runtime.refining import REFINE, small_still
from edgeanim.runtime.scene import BadDriver, Scene
from tests.runtime.stubs import (
    ANIMATOR,
    ANIMATOR_BODIES,
    brightest,
    one_graph,
    picture,
    sessions,
    spot,
)

cv2 = pytest.importorskip("cv2")

DRIVER = [
    cv2.GaussianBlur(spot(x, y), (0, 0), 3) for x, y in ((24, 24), (32, 24), (36, 30), (28, 36))
]


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


def _motions_of(still: np.ndarray, driver, **options) -> list[np.ndarray]:
    """The motions that frames of `still` are made of."""
    found: list[np.ndarray] = []

    def record(graph: str, inputs) -> None:
        if graph == "animate":
            found.append(inputs["to"])

    count = sum(1 for _ in _player(record=record, **options).play(Scene(still, driver)))
    assert count == len(found)
    return found


def test_anybodys_still_is_moved_by_what_the_drivers_own_first_frame_tells():
    own = _motions_of(DRIVER[0], DRIVER, refine=True)
    others = _motions_of(255 - DRIVER[2], iter(DRIVER), refine=True)
    np.testing.assert_array_equal(own, others)
    plain = _motions_of(DRIVER[0], DRIVER)
    assert len(own) == len(plain) == len(DRIVER)
    assert np.abs(np.subtract(own, plain)).max() > 0.03


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ([], "no frames"),
        (DRIVER[:1], "a clip of one frame"),
        ([DRIVER[0][:, :, 0], *DRIVER], "frame 0 of the driver"),
        ([np.zeros((60000, 20, 3), np.uint8)] * 2, "too large or too narrow"),
    ],
)
def test_a_driver_that_is_refused_is_refused_in_the_same_words(driver, said):
    for refine in (False, True):
        with pytest.raises((BadDriver, ValueError), match=said):
            list(_player(refine=refine).play(Scene(DRIVER[0], iter(driver))))


def test_what_frames_are_made_of_more_than_motion_is_refused():
    frame, motion = picture("frame", "driving_frame"), TensorSpec("to", "motion:driving", (1, 1, 6))
    both = one_graph(frame, motion)
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
