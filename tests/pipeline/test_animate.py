"""Clips and stored motions that drive a bundle, and what is written of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.pipeline import animate
from edgeanim.runtime.media import probe_fps, read_frames, write_animation
from edgeanim.runtime.motion import MotionTrack, save_track
from tests.pipeline.followers import (
    SIDE,
    STEP,
    animated,
    bundle_of,
    clip_of,
    picture,
)

helper = pytest.importorskip("onnx").helper


def test_a_clip_of_one_frame_is_named_and_what_a_sprite_sheet_wants(
    follower: Path, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path / "one.gif", 1)
    said = r"one\.gif: The driver is a clip of one frame.*sprite sheet.*dataset import SHEET --cell"
    with pytest.raises(BadInput, match=said):
        api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz")
    with pytest.raises(BadInput, match=said):
        animated(follower, clip, tmp_path)


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


def test_what_is_written_is_no_larger_than_asked_for(
    small_bundle: Path, follower: Path, tmp_path: Path, pictures: np.ndarray
) -> None:
    photograph, more, out = tmp_path / "me.png", tmp_path / "more", tmp_path / "o.webp"
    Image.fromarray(pictures[0]).resize((120, 90)).save(photograph)
    more.mkdir()
    for number in range(3):
        Image.fromarray(pictures[number]).resize((400, 300)).save(more / f"{number}.png")

    def shape(**options: Any) -> tuple[int, ...]:
        api.animate(small_bundle, drive="wave", out=out, limit=2, **options)
        return next(read_frames(out)).shape

    assert shape(still=photograph, size=64) == (48, 64, 3)
    assert shape(still=photograph, size=200) == (90, 120, 3)
    assert shape(more_stills=more, size=64) == (48, 64, 3)
    assert shape(still=photograph, more_stills=more, size=64) == (48, 64, 3)
    with pytest.raises(UsageError, match=r"--size: The model .* size of its own"):
        animated(follower, clip_of(tmp_path / "c.gif", 3), tmp_path, size=16)


def test_where_memory_does_not_suffice_a_smaller_still_is_asked_for(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise MemoryError

    Image.new("RGB", (120, 90)).save(tmp_path / "me.png")
    monkeypatch.setattr(animate, "write_animation", full)
    with pytest.raises(DeviceFailed, match=r"Out of memory.*120x90 pixels.*--size"):
        api.animate(small_bundle, still=tmp_path / "me.png", drive="wave", out=tmp_path / "o.gif")


def test_a_clips_tremble_is_taken_out_and_that_of_a_stored_motion_stays_unless_asked_otherwise(
    follower: Path, tmp_path: Path
) -> None:
    levels = [0, 8, 0, 8, 0, 8, 0, 8]
    clip, stored = tmp_path / "clip.webp", tmp_path / "m.npz"
    write_animation(clip, (np.full((SIDE, SIDE, 3), STEP * n, np.uint8) for n in levels), 25)
    api.extract_motion(clip, bundle=follower, out=stored, smooth=False)
    assert animated(follower, stored, tmp_path, smooth=None) == levels
    assert animated(follower, clip, tmp_path) == levels
    for drive, smooth in ((clip, None), (clip, True), (stored, True)):
        middle = animated(follower, drive, tmp_path, smooth=smooth)[1:-1]
        assert max(middle) - min(middle) < 8


def test_a_user_without_a_home_can_play(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored for it."""
    for name in ("EDGEANIM_STORE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    clip = clip_of(tmp_path / "clip.gif", 3)
    assert animated(follower, clip, tmp_path) == [0, 1, 2]
    assert len(api.extract_motion(clip, bundle=follower, out=tmp_path / "m.npz")) == 3


def test_a_clip_keeps_its_speed_at_another_frame_rate(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 10)
    assert animated(follower, clip, tmp_path) == list(range(10))
    assert animated(follower, clip, tmp_path, fps=10.0) == [0, 3, 5, 8]
    twice = animated(follower, clip, tmp_path, fps=50.0)
    assert len(twice) == 19
    assert sorted(set(twice)) == list(range(10))


def test_frames_are_counted_at_the_frame_rate_that_is_asked_for(
    follower: Path, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path / "clip.gif", 10)
    values = (np.arange(20, dtype=np.float32) * STEP / 255).repeat(12).reshape(20, 2, 6)
    save_track(tmp_path / "m.npz", MotionTrack(values, 25.0))
    for drive in (clip, tmp_path / "m.npz"):
        assert len(animated(follower, drive, tmp_path, fps=50.0, limit=12)) == 12
        assert len(animated(follower, drive, tmp_path, limit=1)) == 1
        assert animated(follower, drive, tmp_path, fps=12.5, limit=3) == [0, 2, 4]


def test_a_driver_that_pauses_pauses_in_what_is_written_and_stored(
    follower: Path, tmp_path: Path
) -> None:
    frames = [Image.new("L", (SIDE, SIDE), STEP * i) for i in range(4)]
    clip = tmp_path / "clip.gif"
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=[40, 40, 120, 40])
    assert animated(follower, clip, tmp_path) == [0, 1, 2, 2, 2, 3]
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
        "lit", "lit.onnx", "frame", (picture("driving_frame"), light), (picture("frame"),)
    )
    nodes = [
        helper.make_node("Mul", ["driving_frame", "none"], ["black"]),
        helper.make_node("Add", ["black", "light"], ["frame"]),
    ]
    path = tmp_path_factory.mktemp("lit") / "lit.eab"
    return bundle_of(path, [(spec, nodes)], {"none": np.array(0.0)})


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
    spec = GraphSpec("alone", "alone.onnx", "frame", (light,), (picture("frame"),))
    nodes = [helper.make_node("Add", ["black", "light"], ["frame"])]
    zeros = np.zeros((1, 3, SIDE, SIDE), np.float32)
    alone = bundle_of(tmp_path / "alone.eab", [(spec, nodes)], {"black": zeros})
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
    assert animated(follower, folder, tmp_path, fps=10.0) == list(range(6))


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e-320, float("nan"), 2000.0])
def test_a_frame_rate_that_is_none_is_refused(follower: Path, tmp_path: Path, fps: float) -> None:
    with pytest.raises(UsageError, match="frame rate"):
        animated(follower, clip_of(tmp_path / "clip.gif", 3), tmp_path, fps=fps)


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
    with pytest.raises(UsageError, match=r"transfers no motion.*Leave out --absolute"):
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


def test_what_works_at_the_same_time_shares_the_boards_threads(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, used = animate.load_player, []

    def noted(*args: Any, **options: Any) -> Any:
        used.append((args[2].threads, args[2].beside_others))
        return load(*args, **options)

    monkeypatch.setattr(animate, "load_player", noted)
    board = tmp_path / "board.toml"
    text = 'schema = 1\nname = "mine"\ntitle = "Mine"\narch = "x86_64"\ncores = 4\n'
    board.write_text(f'{text}memory_mb = 1024\nthreads = 3\n[[backends]]\nname = "onnxruntime"\n')
    clip = clip_of(tmp_path / "clip.gif", 4)
    track = MotionTrack(np.zeros((4, 2, 6), np.float32), 25.0)
    save_track(tmp_path / "m.npz", track)
    for drive, threads in ((clip, None), (tmp_path / "m.npz", None), (clip, 3)):
        animated(follower, drive, tmp_path, board=board, threads=threads)
    # By a stored motion only one graph at a time is at work.
    assert used == [(2, True), (3, True), (3, True)]


def test_what_came_out_in_a_second_is_told(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 6)
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    began = time.perf_counter()
    done = api.animate(follower, still=tmp_path / "still.png", drive=clip, out=tmp_path / "x.gif")
    assert done.frames_per_s >= done.frames / (time.perf_counter() - began)
