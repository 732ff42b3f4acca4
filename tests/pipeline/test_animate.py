"""Clips, cameras and stored motions that drive a bundle, and what is written of them."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.pipeline import motion
from edgeanim.runtime.media import probe_fps, read_frames, write_animation
from edgeanim.runtime.media.y4m import write_stream
from edgeanim.runtime.media.y4m_reader import standard_input
from edgeanim.runtime.motion import MotionTrack, load_track, save_track
from edgeanim.targets.backends import get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant, write_bundle
from tests.convnets import save_onnx

helper = pytest.importorskip("onnx").helper

SIDE = 16
STEP = 8
REGIONS = ("upper", "lower")


def _picture(role: str) -> TensorSpec:
    return TensorSpec(role, role, (1, 3, SIDE, SIDE), "NCHW", range=(0.0, 1.0))


def _motion(role: str) -> TensorSpec:
    return TensorSpec(role.replace(":", "_"), role, (1, 2, 6))


def _bundle(
    path: Path, parts: Sequence[tuple[GraphSpec, Sequence[Any]]], weights: Mapping[str, np.ndarray]
) -> Path:
    contract = Contract(path.stem, tuple(spec for spec, _ in parts), regions=REGIONS)
    compiled = []
    for spec, nodes in parts:
        folder = path.parent / spec.name
        folder.mkdir()
        artifact = GraphArtifact(spec, save_onnx(folder / spec.file, spec, nodes, weights))
        compiled.append(
            get_backend("onnxruntime").compile(artifact, load_board("local"), folder / "compiled")
        )
    variant = Variant("onnxruntime", "float32", tuple(compiled))
    write_bundle(path, contract=contract, variants=[variant], golden=None, tracks={}, provenance={})
    return path


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose motion is a frame's mean brightness, and whose frames are as bright as the
    motion says. Two of its graphs take the motion."""
    find = GraphSpec(
        "find", "find.onnx", "driver", (_picture("driving_frame"),), (_motion("motion"),)
    )
    mixed = TensorSpec("mixed", "feature:mixed", (1, 2, 6))
    mix = GraphSpec("mix", "mix.onnx", "frame", (_motion("motion:driving"),), (mixed,))
    taken = (_picture("still"), _motion("motion:driving"), mixed)
    paint = GraphSpec("paint", "paint.onnx", "frame", taken, (_picture("frame"),))
    node = helper.make_node
    return _bundle(
        tmp_path_factory.mktemp("follower") / "follower.eab",
        [
            (find, [node("ReduceMean", ["driving_frame"], ["mean"], keepdims=0),
                    node("Mul", ["mean", "ones"], ["motion"])]),
            (mix, [node("Identity", ["motion_driving"], ["mixed"])]),
            (paint, [node("Add", ["mixed", "motion_driving"], ["sum"]),
                     node("ReduceMean", ["sum"], ["twice"], keepdims=0),
                     node("Mul", ["twice", "half"], ["value"]),
                     node("Mul", ["still", "none"], ["black"]),
                     node("Add", ["black", "value"], ["frame"])]),
        ],
        {"ones": np.ones((1, 2, 6)), "half": np.array(0.5), "none": np.array(0.0)},
    )  # fmt: skip


def clip_of(path: Path, count: int, fps: float = 25) -> Path:
    """A clip of `count` frames; frame i has the value `STEP` i everywhere."""
    frames = (np.full((SIDE, SIDE, 3), STEP * i, np.uint8) for i in range(count))
    write_animation(path, frames, fps)
    return path


def test_a_motion_is_stored_once_though_two_graphs_take_it(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 6)
    track = api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert len(track) == 6
    assert track.fps == 25
    np.testing.assert_allclose(track.values[:, 0, 0] * 255, np.arange(6) * STEP, atol=1e-3)
    stored = load_track(tmp_path / "m.npz")
    assert (len(stored), stored.regions) == (6, REGIONS)


class _Camera:
    """A capture device as OpenCV gives it, which only one can have at a time."""

    in_use = False

    def __init__(self, _number: int) -> None:
        self._mine = not _Camera.in_use
        _Camera.in_use = True
        self._shown = 0

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        return self._mine

    def read(self) -> tuple[bool, np.ndarray]:
        time.sleep(0.02)
        self._shown += 1
        return True, np.full((SIDE, SIDE, 3), min(STEP * self._shown, 255), np.uint8)

    def set(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        if self._mine:
            _Camera.in_use = False


def test_a_camera_is_opened_once_and_no_frame_of_it_is_lost(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    monkeypatch.setattr(motion, "as_they_come", lambda frames, _fps: frames)
    track = api.extract_motion(
        "camera:0", bundle=follower, out=tmp_path / "m.npz", limit=3, smooth=False
    )
    np.testing.assert_allclose(track.values[:, 0, 0] * 255, [STEP, 2 * STEP, 3 * STEP], atol=1e-3)


def test_a_motion_too_far_out_to_be_stored_is_told_with_its_clip(tmp_path: Path) -> None:
    find = GraphSpec(
        "find", "find.onnx", "driver", (_picture("driving_frame"),), (_motion("motion"),)
    )
    taken = (_picture("still"), _motion("motion:driving"))
    paint = GraphSpec("paint", "paint.onnx", "frame", taken, (_picture("frame"),))
    node = helper.make_node
    pixels = _bundle(
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


def test_a_clip_of_one_frame_is_named(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "one.gif", 1)
    with pytest.raises(BadInput, match=r"one\.gif: The driver is a clip of one frame"):
        api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz")
    with pytest.raises(BadInput, match=r"one\.gif: The driver is a clip of one frame"):
        _animated(follower, clip, tmp_path)


def test_a_picture_too_narrow_for_its_canvas_is_named(follower: Path, tmp_path: Path) -> None:
    narrow, square, clip = tmp_path / "thin.png", tmp_path / "still.png", tmp_path / "thin"
    Image.new("RGB", (1, 6200)).save(narrow)
    Image.new("RGB", (SIDE, SIDE)).save(square)
    clip.mkdir()
    for name in ("0.png", "1.png"):
        (clip / name).write_bytes(narrow.read_bytes())
    driver, out = clip_of(tmp_path / "clip.gif", 3), tmp_path / "o.gif"
    with pytest.raises(BadInput, match=r"^\S*thin\.png: A picture of 1x6200 pixels is too large"):
        api.animate(follower, still=narrow, drive=driver, out=out)
    with pytest.raises(BadInput, match=r"^\S*thin: A picture of 1x6200 pixels is too large"):
        api.animate(follower, still=square, drive=clip, out=out)
    with pytest.raises(BadInput, match=r"^\S*thin: A picture of 1x6200 pixels is too large"):
        api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz")


def test_a_clips_tremble_is_taken_out_and_that_of_a_stored_motion_stays_unless_asked_otherwise(
    follower: Path, tmp_path: Path
) -> None:
    levels = [0, 8, 0, 8, 0, 8, 0, 8]
    clip, stored = tmp_path / "clip.webp", tmp_path / "m.npz"
    write_animation(clip, (np.full((SIDE, SIDE, 3), STEP * n, np.uint8) for n in levels), 25)
    api.extract_motion(clip, bundle=follower, out=stored, smooth=False)
    assert _animated(follower, stored, tmp_path, smooth=None) == levels
    assert _animated(follower, clip, tmp_path) == levels
    for drive, smooth in ((clip, None), (clip, True), (stored, True)):
        middle = _animated(follower, drive, tmp_path, smooth=smooth)[1:-1]
        assert max(middle) - min(middle) < 8


def test_a_motion_of_another_model_is_named(follower: Path, tmp_path: Path) -> None:
    track = tmp_path / "theirs.npz"
    save_track(track, MotionTrack(np.zeros((3, 7, 6), np.float32), 25.0))
    with pytest.raises(BadInput, match=r"theirs\.npz: The motion track has 7 regions"):
        _animated(follower, track, tmp_path)
    values = np.zeros((2, 2, 6), np.float32)
    save_track(tmp_path / "m.npz", MotionTrack(values, 25.0, ("wheel", "axle")))
    with pytest.raises(BadInput, match=r"m\.npz: .* of the regions wheel; axle"):
        _animated(follower, tmp_path / "m.npz", tmp_path)


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


def _animated(follower: Path, drive: Path | str, folder: Path, **options: Any) -> list[int]:
    """The values of the frames that are written, in units of `STEP`."""
    still, out = folder / "still.png", folder / "frames"
    Image.new("RGB", (SIDE, SIDE)).save(still)
    plain = {"relative": False, "smooth": False}
    done = api.animate(follower, still=still, drive=drive, out=out, **plain | options)
    values = [float(frame.mean()) / STEP for frame in read_frames(out)]
    assert done.frames == len(values)
    assert done.fps == options.get("fps", 25)
    return [round(value) for value in values]


def test_a_user_without_a_home_can_play(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored for it."""
    for name in ("EDGEANIM_STORE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    clip = clip_of(tmp_path / "clip.gif", 3)
    assert _animated(follower, clip, tmp_path) == [0, 1, 2]
    assert len(api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz")) == 3


def test_a_clip_keeps_its_speed_at_another_frame_rate(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 10)
    assert _animated(follower, clip, tmp_path) == list(range(10))
    assert _animated(follower, clip, tmp_path, fps=10.0) == [0, 3, 5, 8]
    twice = _animated(follower, clip, tmp_path, fps=50.0)
    assert len(twice) == 19
    assert sorted(set(twice)) == list(range(10))


def test_frames_that_are_piped_in_are_followed_at_their_rate(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.full((SIDE, SIDE, 3), STEP * i, np.uint8) for i in range(10)]
    for rate, options, expected in ((25, {}, list(range(10))), (50, {"fps": 25}, [0, 2, 4, 6, 8])):
        stream = io.BytesIO()
        write_stream(stream, frames, rate)
        stream.seek(0)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        standard_input.cache_clear()
        assert _animated(follower, "-", tmp_path, **options) == expected
    standard_input.cache_clear()
    with pytest.raises(UsageError, match=r"--loop.*through a pipe has no end"):
        _animated(follower, "-", tmp_path, loop=True)


def test_frames_are_counted_at_the_frame_rate_that_is_asked_for(
    follower: Path, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path / "clip.gif", 10)
    values = (np.arange(20, dtype=np.float32) * STEP / 255).repeat(12).reshape(20, 2, 6)
    save_track(tmp_path / "m.npz", MotionTrack(values, 25.0))
    for drive in (clip, tmp_path / "m.npz"):
        assert len(_animated(follower, drive, tmp_path, fps=50.0, limit=12)) == 12
        assert len(_animated(follower, drive, tmp_path, limit=1)) == 1
        assert _animated(follower, drive, tmp_path, fps=12.5, limit=3) == [0, 2, 4]


def test_a_driver_that_pauses_pauses_in_what_is_written_and_stored(
    follower: Path, tmp_path: Path
) -> None:
    frames = [Image.new("L", (SIDE, SIDE), STEP * i) for i in range(4)]
    clip = tmp_path / "clip.gif"
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=[40, 40, 120, 40])
    assert _animated(follower, clip, tmp_path) == [0, 1, 2, 2, 2, 3]
    track = api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert (len(track), track.fps) == (6, 25)


def test_a_driver_faster_than_a_gif_can_be_keeps_its_speed(follower: Path, tmp_path: Path) -> None:
    fast = clip_of(tmp_path / "fast.webp", 20, 100)
    track = MotionTrack(np.zeros((20, 2, 6), np.float32), 100.0)
    save_track(tmp_path / "m.npz", track)
    still, out = tmp_path / "still.png", tmp_path / "out.gif"
    Image.new("RGB", (SIDE, SIDE)).save(still)
    for drive in (fast, tmp_path / "m.npz"):
        done = api.animate(follower, still=still, drive=drive, out=out, relative=False)
        assert (done.frames, done.fps, probe_fps(out)) == (10, 50, 50)
    with pytest.raises(UsageError, match="at most 50 frames a second"):
        api.animate(follower, still=still, drive=fast, out=out, relative=False, fps=60)


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose frames are as bright as its fixed input `light`, of which clips have one for
    each frame."""
    light = TensorSpec("light", "condition:light", (1, 1, 1, 1))
    spec = GraphSpec(
        "lit", "lit.onnx", "frame", (_picture("driving_frame"), light), (_picture("frame"),)
    )
    nodes = [
        helper.make_node("Mul", ["driving_frame", "none"], ["black"]),
        helper.make_node("Add", ["black", "light"], ["frame"]),
    ]
    path = tmp_path_factory.mktemp("lit") / "lit.eab"
    return _bundle(path, [(spec, nodes)], {"none": np.array(0.0)})


def _lit(bundle: Path, clip: Path, folder: Path, lights: int, **options: Any) -> list[int]:
    """The values of the frames that are written, in units of `STEP`, of as many `lights`."""
    values = np.arange(lights, dtype=np.float32).reshape(-1, 1, 1, 1) * STEP / 255
    np.save(folder / "lights.npy", values)
    inputs = {"light": folder / "lights.npy"}
    api.animate(bundle, drive=clip, out=folder / "frames", inputs=inputs, **options)
    return [round(float(frame.mean()) / STEP) for frame in read_frames(folder / "frames")]


def test_a_value_for_each_frame_of_a_clip_stays_with_it_at_another_frame_rate(
    lit: Path, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path / "clip.gif", 10)
    assert _lit(lit, clip, tmp_path, 10) == list(range(10))
    assert _lit(lit, clip, tmp_path, 10, fps=10.0) == [0, 3, 5, 8]
    assert _lit(lit, clip, tmp_path, 10, fps=10.0, loop=True, limit=6) == [0, 3, 5, 8, 0, 3]
    assert sorted(set(_lit(lit, clip, tmp_path, 10, fps=50.0))) == list(range(10))
    # What is not one for each frame is cycled through, whatever the rate.
    assert _lit(lit, clip, tmp_path, 3, fps=10.0) == [0, 1, 2, 0]


def test_values_for_each_frame_move_a_still_without_a_driver(lit: Path, tmp_path: Path) -> None:
    still, lights = tmp_path / "still.png", tmp_path / "lights.npy"
    Image.new("RGB", (2 * SIDE, SIDE)).save(still)
    np.save(lights, np.arange(7, dtype=np.float32).reshape(-1, 1, 1, 1) * STEP / 255)

    def shown(**options: Any) -> list[int]:
        done = api.animate(lit, still=still, out=tmp_path / "frames", **options)
        assert done.fps == 25
        frames = list(read_frames(tmp_path / "frames"))
        assert frames[0].shape == (SIDE // 2, SIDE, 3)
        return [round(float(frame.mean()) / STEP) for frame in frames]

    assert shown(inputs={"light": lights}) == list(range(7))
    assert shown(inputs={"light": lights}, loop=True, limit=9) == [*range(7), 0, 1]
    with pytest.raises(UsageError, match=r"changes pictures.*--still"):
        api.animate(lit, out=tmp_path / "o.gif", inputs={"light": lights})
    np.save(lights, np.ones((1, 1, 1, 1), np.float32))
    with pytest.raises(UsageError, match="Nothing says how the frames differ"):
        shown(inputs={"light": lights})


def test_a_model_that_follows_says_so_without_a_driver(follower: Path, tmp_path: Path) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    with pytest.raises(UsageError, match=r"follows a driver.*--drive"):
        api.animate(follower, still=tmp_path / "still.png", out=tmp_path / "out.gif")


def test_a_net_that_takes_no_picture_gives_whole_frames(tmp_path: Path) -> None:
    """Those of a clip, which it never sees, were cut to the clip's shape."""
    light = TensorSpec("light", "condition:light", (1, 1, 1, 1))
    spec = GraphSpec("alone", "alone.onnx", "frame", (light,), (_picture("frame"),))
    nodes = [helper.make_node("Add", ["black", "light"], ["frame"])]
    zeros = np.zeros((1, 3, SIDE, SIDE), np.float32)
    alone = _bundle(tmp_path / "alone.eab", [(spec, nodes)], {"black": zeros})
    lights, out = tmp_path / "lights.npy", tmp_path / "frames"
    np.save(lights, np.arange(5, dtype=np.float32).reshape(-1, 1, 1, 1) * STEP / 255)
    wide = [np.zeros((SIDE, 2 * SIDE, 3), np.uint8)] * 5
    write_animation(tmp_path / "wide.gif", wide, 10)
    for drive in (None, tmp_path / "wide.gif"):
        done = api.animate(alone, drive=drive, out=out, inputs={"light": lights})
        assert done.frames == 5
        assert {frame.shape for frame in read_frames(out)} == {(SIDE, SIDE, 3)}
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    with pytest.raises(UsageError, match=r"takes no picture.*Leave out --still"):
        api.animate(alone, still=tmp_path / "still.png", out=out, inputs={"light": lights})


def test_what_has_no_frame_rate_of_its_own_is_played_whole(follower: Path, tmp_path: Path) -> None:
    folder = clip_of(tmp_path / "pictures/", 6)
    assert _animated(follower, folder, tmp_path, fps=10.0) == list(range(6))


def test_a_motion_that_gets_too_long_at_a_frame_rate_is_refused(
    follower: Path, tmp_path: Path
) -> None:
    save_track(tmp_path / "m.npz", MotionTrack(np.zeros((2000, 2, 6), np.float32), 1.0))
    with pytest.raises(UsageError, match="more than 100000 frames"):
        _animated(follower, tmp_path / "m.npz", tmp_path, fps=60.0)


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e-320, float("nan"), 2000.0])
def test_a_frame_rate_that_is_none_is_refused(follower: Path, tmp_path: Path, fps: float) -> None:
    with pytest.raises(UsageError, match="frame rate"):
        _animated(follower, clip_of(tmp_path / "clip.gif", 3), tmp_path, fps=fps)


@pytest.mark.parametrize("drive", ["wave", "clip.gif"])
def test_a_still_that_a_model_would_not_look_at_is_refused(tmp_path: Path, drive: str) -> None:
    painter = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    clip = clip_of(tmp_path / "clip.gif", 3)
    with pytest.raises(UsageError, match=r"animates no still.*Leave out --still"):
        api.animate(
            painter,
            still=tmp_path / "still.png",
            drive=clip if drive == clip.name else drive,
            out=tmp_path / "out.gif",
        )


def test_a_pose_that_a_model_would_not_take_is_refused(tmp_path: Path) -> None:
    painter = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    clip = clip_of(tmp_path / "clip.gif", 3)
    with pytest.raises(UsageError, match=r"carries no motion.*Leave out --absolute"):
        api.animate(painter, drive=clip, out=tmp_path / "out.gif", relative=False)


def test_a_driver_that_is_not_there_is_bad_input_and_an_unknown_name_a_usage_error(
    follower: Path, tmp_path: Path
) -> None:
    for gone in ("gone.mp4", "gone.npz", "gone/frames"):
        with pytest.raises(BadInput, match="No such file or folder"):
            api.animate(follower, drive=gone, out=tmp_path / "x.gif")
    with pytest.raises(UsageError, match="Did you mean 'wave'"):
        api.animate(follower, drive="wav", out=tmp_path / "x.gif")
    with pytest.raises(UsageError) as caught:
        api.animate(follower, drive="nothing like it", out=tmp_path / "x.gif")
    assert str(caught.value).count("wave") == 1  # which is the bundle's own and ships, too
    with pytest.raises(UsageError, match="camera:0"):
        api.animate(follower, drive="camera:front", out=tmp_path / "x.gif")


def test_what_loops_begins_again_until_it_is_stopped(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 4)
    assert _animated(follower, clip, tmp_path, loop=True, limit=10) == [0, 1, 2, 3] * 2 + [0, 1]
    values = np.full((3, 2, 6), STEP / 255) * np.arange(3)[:, None, None]
    save_track(tmp_path / "m.npz", MotionTrack(values.astype(np.float32), 25.0))
    asked = iter([False] * 7 + [True])
    frames = _animated(follower, tmp_path / "m.npz", tmp_path, loop=True, stop=lambda: next(asked))
    assert frames == [0, 1, 2, 0, 1, 2, 0]
    frames = _animated(follower, tmp_path / "m.npz", tmp_path, loop=True, limit=7, fps=50)
    assert frames == [0, 0, 1, 2, 2, 1, 0]
    with pytest.raises(UsageError, match="--loop"):
        _animated(follower, "camera:0", tmp_path, loop=True)


def test_a_camera_is_followed_until_it_is_stopped_and_what_was_made_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    asked = iter([False] * 5 + [True])
    frames = _animated(follower, "camera:0", tmp_path, stop=lambda: next(asked))
    # As many as the time that passed has room for, each frame of the camera once or several times.
    assert len(frames) == 5
    assert frames == sorted(frames)
    asked = iter([False] * 5 + [True])
    track = api.extract_motion(
        "camera:0", bundle=follower, out=tmp_path / "m.npz", smooth=False, stop=lambda: next(asked)
    )
    assert len(track) == 5


def test_what_a_camera_gave_before_it_failed_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unplugged(_Camera):
        def read(self) -> tuple[bool, np.ndarray]:
            given, frame = super().read()
            return given and self._shown <= 4, frame

    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Unplugged)
    with pytest.raises(DeviceFailed, match=r"stopped giving frames.*frames"):
        _animated(follower, "camera:0", tmp_path)
    kept = [round(float(frame.mean()) / STEP) for frame in read_frames(tmp_path / "frames")]
    assert kept[0] in (0, 1)
    assert kept == sorted(kept)
    with pytest.raises(DeviceFailed, match=r"until then.*m\.npz"):
        api.extract_motion("camera:0", bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert len(load_track(tmp_path / "m.npz")) >= 1


def test_a_camera_that_gives_nothing_leaves_nothing(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dark(_Camera):
        def read(self) -> tuple[bool, np.ndarray]:
            return False, super().read()[1]

    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Dark)
    with pytest.raises(DeviceFailed, match="stopped giving frames"):
        _animated(follower, "camera:0", tmp_path)
    assert not (tmp_path / "frames").exists()


def test_a_camera_that_fills_a_stored_motion_ends_it_and_what_was_made_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    monkeypatch.setattr(motion, "MAX_FRAMES", 4)
    track = api.extract_motion("camera:0", bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert len(track) == 4
    assert (tmp_path / "m.npz").is_file()


def test_each_frame_of_a_camera_is_followed_once_however_often_it_is_repeated(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
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
    assert shown == [1, 1, 1, 2, 2, 2]
    assert runs.count("mix") == 2


def test_a_player_gets_each_frame_of_a_camera_as_it_comes(
    follower: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    done = api.animate(
        follower,
        still=tmp_path / "still.png",
        drive="camera:0",
        out="-",
        relative=False,
        smooth=False,
        limit=4,
    )
    assert done.frames == 4
    frames = capfdbinary.readouterr().out.split(b"FRAME\n")[1:]
    light = [np.frombuffer(frame, np.uint8)[: SIDE * SIDE].mean() for frame in frames]
    np.testing.assert_allclose(np.diff(light), STEP * 219 / 255, atol=1)


def test_frames_for_a_player_go_to_standard_output_alone(
    follower: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    clip = clip_of(tmp_path / "clip.gif", 4)
    done = api.animate(follower, still=tmp_path / "still.png", drive=clip, out="-", smooth=False)
    head, *frames = capfdbinary.readouterr().out.split(b"FRAME\n")
    assert head == b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C444\n"
    assert done.frames == len(frames) == 4
    assert {len(frame) for frame in frames} == {3 * SIDE * SIDE}
    assert list(tmp_path.glob("-*")) == []
