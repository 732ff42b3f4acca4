"""Drivers without an end: cameras, pipes and loops, and players that get frames as they come."""

from __future__ import annotations

import io
import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim import api
from edgeanim.core.errors import DeviceFailed, UsageError
from edgeanim.core.progress import Silent
from edgeanim.pipeline import animate, motion
from edgeanim.runtime.media import read_frames
from edgeanim.runtime.media.y4m import write_stream
from edgeanim.runtime.media.y4m_reader import standard_input
from edgeanim.runtime.motion import MotionTrack, load_track, save_track
from tests.pipeline.followers import (
    SIDE,
    STEP,
    Camera,
    animated,
    clip_of,
)

helper = pytest.importorskip("onnx").helper


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
        assert animated(follower, "-", tmp_path, **options) == expected
    standard_input.cache_clear()
    with pytest.raises(UsageError, match=r"--loop.*through a pipe has no end.*Leave it out"):
        animated(follower, "-", tmp_path, loop=True)


class Rushing(io.BytesIO):
    """A pipe into which a program writes whether or not one reads; tells when all has been read."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        shades = [np.full((SIDE, SIDE, 3), 2 * i, np.uint8) for i in range(frames)]
        write_stream(self, shades, 25)
        self.seek(0)
        self.over = threading.Event()

    def readline(self, most: int | None = -1, /) -> bytes:
        line = super().readline(most)
        if not line:
            self.over.set()
        return line


def test_of_a_live_pipe_frames_are_left_out_that_come_while_one_is_made(
    follower: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    pipe = Rushing(100)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))

    class Slow(Silent):
        """The first frame is there when all of the driver's have come."""

        def step(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
            assert pipe.over.wait(60)

    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "still.png")
    plain = {"still": tmp_path / "still.png", "relative": False, "smooth": False, "out": "-"}
    standard_input.cache_clear()
    done = api.animate(follower, drive="-", live=True, progress=Slow(), **plain)
    standard_input.cache_clear()
    assert done.frames + done.left_out == 100
    assert done.frames <= 5  # the first, those that were on their way meanwhile, and the last
    light = [frame[0] for frame in capfdbinary.readouterr().out.split(b"FRAME\n")[1:]]
    assert len(light) == done.frames
    assert light == sorted(light)
    assert light[-1] == pytest.approx(16 + 198 * 219 / 255, abs=1)
    with pytest.raises(UsageError, match=r"--live: Only what is piped in.*--fps"):
        api.animate(follower, drive=clip_of(tmp_path / "clip.gif", 4), live=True, **plain)


def test_a_live_pipe_is_recorded_as_time_passes(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = []
    for module in (animate, motion):
        monkeypatch.setattr(
            module, "as_they_come", lambda frames, fps: recorded.append(fps) or frames
        )
    for live in (False, True):
        for work in (
            lambda live: animated(follower, "-", tmp_path, live=live),
            lambda live: api.extract_motion(
                "-", bundle=follower, out=tmp_path / "m.npz", smooth=False, live=live
            ),
        ):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Rushing(4)))
            standard_input.cache_clear()
            work(live)
    standard_input.cache_clear()
    assert recorded == [25, 25]


class Counted(Silent):
    """Progress whose steps are counted."""

    steps = 0

    def step(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.steps += count


def test_what_loops_begins_again_until_it_is_stopped(follower: Path, tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.gif", 4)
    assert animated(follower, clip, tmp_path, loop=True, limit=10) == [0, 1, 2, 3] * 2 + [0, 1]
    values = np.full((3, 2, 6), STEP / 255) * np.arange(3)[:, None, None]
    save_track(tmp_path / "m.npz", MotionTrack(values.astype(np.float32), 25.0))
    counted = Counted()
    frames = animated(
        follower,
        tmp_path / "m.npz",
        tmp_path,
        loop=True,
        progress=counted,
        stop=lambda: counted.steps > 7,
    )
    assert frames == [0, 1, 2, 0, 1, 2, 0]
    frames = animated(follower, tmp_path / "m.npz", tmp_path, loop=True, limit=7, fps=50)
    assert frames == [0, 0, 1, 2, 2, 1, 0]
    with pytest.raises(UsageError, match="--loop"):
        animated(follower, "camera:0", tmp_path, loop=True)


def test_a_camera_is_followed_until_it_is_stopped_and_what_was_made_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    counted = Counted()
    frames = animated(
        follower, "camera:0", tmp_path, progress=counted, stop=lambda: counted.steps > 5
    )
    # As many as the time that passed has room for, each of the camera's not at all, once or often.
    assert frames == sorted(frames)
    assert len(set(frames)) <= 6
    counted = Counted()
    track = api.extract_motion(
        "camera:0",
        bundle=follower,
        out=tmp_path / "m.npz",
        smooth=False,
        progress=counted,
        stop=lambda: counted.steps >= 5,
    )
    assert len(track) == 5


def test_what_a_camera_gave_before_it_failed_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unplugged(Camera):
        def read(self) -> tuple[bool, np.ndarray]:
            given, frame = super().read()
            return given and self._shown <= 4, frame

    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Unplugged)
    with pytest.raises(DeviceFailed, match=r"stopped giving frames.*frames"):
        animated(follower, "camera:0", tmp_path)
    kept = [round(float(frame.mean()) / STEP) for frame in read_frames(tmp_path / "frames")]
    assert kept[0] in (0, 1)
    assert kept == sorted(kept)
    with pytest.raises(DeviceFailed, match=r"until then.*m\.npz"):
        api.extract_motion("camera:0", bundle=follower, out=tmp_path / "m.npz", smooth=False)
    assert len(load_track(tmp_path / "m.npz")) >= 1


def test_a_frame_that_a_camera_damages_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")

    class Rough(Camera):
        def read(self) -> tuple[bool, np.ndarray]:
            given, frame = super().read()
            if self._shown in (1, 4):
                cv2.imdecode(np.zeros(0, np.uint8), cv2.IMREAD_COLOR)  # as for one of no bytes
            return given and self._shown != 5, frame

    monkeypatch.setattr(cv2, "VideoCapture", Rough)
    frames = itertools.islice(read_frames("camera:0"), 5)
    assert [round(float(frame.mean()) / STEP) for frame in frames] == [2, 3, 6, 7, 8]


def test_what_a_camera_gave_before_it_changed_its_size_is_kept(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Restarted(Camera):
        def read(self) -> tuple[bool, np.ndarray]:
            given, frame = super().read()
            return given, frame if self._shown <= 4 else np.zeros((SIDE, 2 * SIDE, 3), np.uint8)

    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Restarted)
    with pytest.raises(DeviceFailed, match=r"from 16x16 pixels to 32x16.*until then"):
        animated(follower, "camera:0", tmp_path)
    assert len(list(read_frames(tmp_path / "frames"))) >= 1


def test_a_camera_that_gives_nothing_leaves_nothing(
    follower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dark(Camera):
        def read(self) -> tuple[bool, np.ndarray]:
            return False, super().read()[1]

    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Dark)
    with pytest.raises(DeviceFailed, match=r"stopped giving frames.*still connected"):
        animated(follower, "camera:0", tmp_path)
    assert not (tmp_path / "frames").exists()


def test_a_player_gets_each_frame_of_a_camera_as_it_comes(
    follower: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
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
    assert (np.diff(light) >= STEP * 219 / 255 - 1).all()  # each once, though one may be late


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
