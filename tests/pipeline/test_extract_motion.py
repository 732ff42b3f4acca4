"""Motion of clips and cameras that is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim import api
from edgeanim.core.contract import GraphSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.pipeline import motion
from edgeanim.runtime.motion import MotionTrack, load_track, save_track
from tests.pipeline.followers import (
    REGIONS,
    STEP,
    Camera,
    animated,
    bundle_of,
    clip_of,
    moved_by,
    picture,
)

helper = pytest.importorskip("onnx").helper


def test_a_motion_is_stored_once_though_two_graphs_take_it(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 6)
    track = api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert len(track) == 6
    assert track.fps == 25
    np.testing.assert_allclose(track.values[:, 0, 0] * 255, np.arange(6) * STEP, atol=1e-3)
    stored = load_track(tmp_path / "m.npz")
    assert (len(stored), stored.regions) == (6, REGIONS)


def test_a_camera_is_opened_once_and_its_first_frame_is_not_lost(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(motion, "as_they_come", lambda frames, _fps: frames)
    track = api.extract_motion(
        "camera:0", bundle=follower, out=tmp_path / "m.npz", limit=3, smooth=False
    )
    shown = [round(value * 255 / STEP) for value in track.values[:, 0, 0]]
    assert len(shown) == 3
    assert shown[0] == 1
    assert shown == sorted(shown)


def test_a_motion_too_far_out_to_be_stored_is_told_with_its_clip(tmp_path: Path) -> None:
    find = GraphSpec(
        "find", "find.onnx", "driver", (picture("driving_frame"),), (moved_by("motion"),)
    )
    taken = (picture("still"), moved_by("motion:driving"))
    paint = GraphSpec("paint", "paint.onnx", "frame", taken, (picture("frame"),))
    node = helper.make_node
    pixels = bundle_of(
        tmp_path / "pixels.eab",
        [
            (find, [node("ReduceMean", ["driving_frame"], ["mean"], keepdims=0),
                    node("Add", ["mean", "far"], ["motion"])]),
            (paint, [node("ReduceMin", ["motion_driving"], ["least"], keepdims=0),
                     node("Mul", ["least", "none"], ["nothing"]),
                     node("Add", ["still", "nothing"], ["frame"])]),
        ],
        {"far": np.full((1, 2, 6), 2000.0), "none": np.array(0.0)},
    )  # fmt: skip
    clip = clip_of(tmp_path / "clip.gif", 3)
    with pytest.raises(BadInput, match=r"clip\.gif: .*far out of the picture"):
        api.extract_motion(clip, bundle=pixels, out=tmp_path / "m.npz")


def test_a_motion_of_another_model_is_named(follower: Path, tmp_path: Path) -> None:
    track = tmp_path / "theirs.npz"
    save_track(track, MotionTrack(np.zeros((3, 7, 6), np.float32), 25.0))
    with pytest.raises(BadInput, match=r"theirs\.npz: The motion track has 7 regions"):
        animated(follower, track, tmp_path)
    values = np.zeros((2, 2, 6), np.float32)
    save_track(tmp_path / "m.npz", MotionTrack(values, 25.0, ("wheel", "axle")))
    with pytest.raises(BadInput, match=r"m\.npz: .* of the regions wheel; axle"):
        animated(follower, tmp_path / "m.npz", tmp_path)


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "found"])
def test_a_clip_that_is_too_long_for_a_stored_motion_says_so(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: bool
) -> None:
    monkeypatch.setattr(motion, "MAX_FRAMES", 6)
    if not stated:
        monkeypatch.setattr(motion, "probe_length", lambda _: None)
    clip, out = clip_of(tmp_path / "clip.gif", 7), tmp_path / "m.npz"
    with pytest.raises(UsageError, match=r"clip\.gif.*more than 6 frames.*--frames"):
        api.extract_motion(clip, bundle=follower, out=out)
    assert not out.exists()
    assert len(api.extract_motion(clip, bundle=follower, out=out, limit=6)) == 6


def test_a_single_frame_is_refused_before_the_clip_is_blamed(
    follower: Path, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path / "clip.gif", 6)
    with pytest.raises(UsageError, match=r"--frames.*limit of 1.* 2 or more"):
        api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz", limit=1)


def test_a_motion_that_gets_too_long_at_a_frame_rate_is_refused(
    follower: Path, tmp_path: Path
) -> None:
    save_track(tmp_path / "m.npz", MotionTrack(np.zeros((2000, 2, 6), np.float32), 1.0))
    with pytest.raises(UsageError, match="more than 100000 frames"):
        animated(follower, tmp_path / "m.npz", tmp_path, fps=60.0)


def test_a_camera_that_fills_a_stored_motion_ends_it_and_what_was_made_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(motion, "MAX_FRAMES", 4)
    track = api.extract_motion("camera:0", bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert len(track) == 4
    assert (tmp_path / "m.npz").is_file()


def test_each_frame_of_a_camera_is_followed_once_however_often_it_is_repeated(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(
        motion, "as_they_come", lambda found, _fps: (each for each in found for _ in range(3))
    )
    load, runs = motion.load_player, []

    def counted(*args: Any, **options: Any) -> Any:
        *others, record = args
        return load(*others, lambda *run: (runs.append(run[0]), record(*run)), **options)

    monkeypatch.setattr(motion, "load_player", counted)
    track = api.extract_motion(
        "camera:0", bundle=follower, out=tmp_path / "m.npz", smooth=False, limit=6
    )
    shown = [round(value * 255 / STEP) for value in track.values[:, 0, 0]]
    assert shown == [1, 1, 1, *3 * [shown[3]]]
    assert shown[3] > 1
    assert runs.count("mix") in (2, 3)  # the next may be on its way
