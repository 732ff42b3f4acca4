"""Frames for a player of another program."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.runtime.media.rates import as_they_come
from edgeanim.runtime.media.y4m import write_stream


@pytest.mark.parametrize(("size", "fps"), [((48, 64), 25.0), ((33, 47), 29.97)])
def test_what_a_decoder_reads_is_what_was_written(
    tmp_path: Path, size: tuple[int, int], fps: float
) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 4, 4, 3), np.uint8)
    frames = [cv2.resize(each, size[::-1], interpolation=cv2.INTER_CUBIC) for each in coarse]
    with (tmp_path / "a.y4m").open("wb") as stream:
        assert write_stream(stream, frames, fps) == 5
    clip = cv2.VideoCapture(str(tmp_path / "a.y4m"), cv2.CAP_FFMPEG)
    assert clip.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, abs=1e-3)
    for frame in frames:
        got, shown = clip.read()
        assert got
        assert shown.shape == frame.shape
        # A decoder may scale the colours down and up again.
        assert np.abs(shown[:, :, ::-1].astype(int) - frame).mean() < 3
    assert not clip.read()[0]


def test_transparent_parts_are_white() -> None:
    stream = io.BytesIO()
    write_stream(stream, [np.zeros((2, 2, 4), np.uint8)], 25)
    assert stream.getvalue().endswith(bytes([235] * 4 + [128] * 8))


def test_it_ends_when_nobody_reads_any_more() -> None:
    reading, writing = os.pipe()
    frame = np.zeros((64, 64, 3), np.uint8)
    taken = 0

    def frames():
        nonlocal taken
        while True:
            taken += 1
            if taken == 3:
                os.close(reading)
            yield frame

    with os.fdopen(writing, "wb", buffering=0) as stream:
        assert write_stream(stream, frames(), 25) == 2


def test_each_frame_goes_out_before_the_next_is_asked_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    got = []

    def frames():
        for _ in range(3):
            yield np.zeros((4, 4, 3), np.uint8)
            got.append(os.read(reading, 1000))

    with os.fdopen(writing, "wb") as stream:
        assert write_stream(stream, frames(), 25) == 3
    os.close(reading)
    assert [each.count(b"FRAME") for each in got] == [1, 1, 1]


def test_what_is_printed_meanwhile_is_no_frame() -> None:
    code = (
        "import os\n"
        "from edgeanim.runtime.media.y4m import standard_output\n"
        "print('before')\n"
        "with standard_output() as stream:\n"
        "    print('printed', flush=True)\n"
        "    os.write(1, b'natively\\n')\n"
        "    stream.write(b'frame\\n')\n"
        "    print('kept back')\n"
        "print('after')\n"
    )
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=buffered
    )
    assert done.stdout == "before\nframe\nafter\n"
    assert done.stderr == "printed\nnatively\nkept back\n"


@given(
    st.lists(st.floats(0, 0.5), min_size=1, max_size=30),
    st.floats(1, 60),
)
def test_what_comes_when_it_can_keeps_the_time(pauses: list[float], fps: float) -> None:
    moments = np.cumsum(pauses)
    shown = _shown(range(len(moments)), moments, fps)
    elapsed = moments - moments[0]
    assert len(shown) == int(elapsed[-1] * fps) + 1
    assert shown == sorted(shown)
    for slot, which in enumerate(shown):
        # The first frame that was there at this moment or came after it.
        assert which == int(np.flatnonzero(slot <= elapsed * fps)[0])


def test_a_frame_is_shown_from_the_moment_at_which_it_came():
    assert _shown(["a", "b", "c"], [5.0, 5.25, 5.5], 4.0) == ["a", "b", "c"]


def _shown(frames, moments, fps: float) -> list:
    """What is shown of frames that come at these moments."""
    now = 0.0

    def coming():
        nonlocal now
        for frame, moment in zip(frames, moments, strict=True):
            now = float(moment)
            yield frame

    return list(as_they_come(coming(), fps, now=lambda: now))
