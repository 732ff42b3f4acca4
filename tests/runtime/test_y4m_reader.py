"""Frames that another program pipes in."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.runtime.media.y4m import write_stream
from edgeanim.runtime.media.y4m_reader import PipedFrames


def smooth(size: tuple[int, int], count: int = 3) -> list[np.ndarray]:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return [cv2.resize(each, size[::-1], interpolation=cv2.INTER_CUBIC) for each in coarse]


def piped(header: str, *frames: bytes) -> PipedFrames:
    data = header.encode() + b"\n" + b"".join(b"FRAME\n" + frame for frame in frames)
    return PipedFrames(io.BytesIO(data))


@pytest.mark.parametrize(("size", "fps"), [((48, 64), 25.0), ((33, 47), 29.97), ((2, 1), 7.5)])
def test_what_was_written_is_read(size: tuple[int, int], fps: float) -> None:
    stream = io.BytesIO()
    frames = smooth(size)
    write_stream(stream, frames, fps)
    stream.seek(0)
    found = PipedFrames(stream)
    assert found.fps == pytest.approx(fps, abs=1e-3)
    for frame, made in zip(frames, found, strict=True):
        assert made.dtype == np.uint8
        assert np.abs(made.astype(int) - frame).max() <= 3


@pytest.mark.parametrize("size", [(48, 64), (46, 62)])
def test_shared_colours_are_spread_as_well_as_a_decoder_does(size: tuple[int, int]) -> None:
    (frame,) = smooth(size, 1)
    planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
    decoded = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420).astype(int)
    for coding in ("", " C420", " C420jpeg", " C420mpeg2"):
        (made,) = piped(f"YUV4MPEG2 W{size[1]} H{size[0]}{coding}", planes.tobytes())
        assert np.abs(made - frame.astype(int)).mean() <= np.abs(decoded - frame).mean()


def test_light_alone_columns_that_share_and_odd_sizes_are_read() -> None:
    grey = np.full((3, 5), 126, np.uint8).tobytes()
    half, quarter = bytes([128]) * (3 * 3), bytes([128]) * (2 * 3)
    for coding, more in (("mono", b""), ("422", 2 * half), ("420", 2 * quarter)):
        (made,) = piped(f"YUV4MPEG2 W5 H3 F25:1 C{coding}", grey + more)
        assert made.shape == (3, 5, 3)
        assert np.abs(made.astype(int) - 128).max() <= 1


def test_the_full_range_is_read_as_such() -> None:
    black, white = bytes(4) + bytes([128] * 8), bytes([255] * 4) + bytes([128] * 8)
    frames = list(piped("YUV4MPEG2 W2 H2 C444 XCOLORRANGE=FULL", black, white))
    assert [int(frame.mean()) for frame in frames] == [0, 255]


def test_pixels_that_are_not_square_are_made_so() -> None:
    (made,) = piped("YUV4MPEG2 W4 H2 A3:2 Cmono", bytes([100] * 8))
    assert made.shape == (2, 6, 3)
    (made,) = piped("YUV4MPEG2 W4 H2 A0:0 Cmono", bytes([100] * 8))
    assert made.shape == (2, 4, 3)


def test_a_rate_that_is_not_told_is_none() -> None:
    for told in ("", " F0:0", " F25", " F25:0", " Fx:1"):
        assert piped(f"YUV4MPEG2 W2 H2{told} Cmono").fps is None


def test_what_is_cut_off_at_the_end_is_left_out() -> None:
    whole = bytes([100] * 4)
    assert len(list(piped("YUV4MPEG2 W2 H2 Cmono", whole, whole, whole[:3]))) == 2
    stream = io.BytesIO(b"YUV4MPEG2 W2 H2 Cmono\nFRAME Ip\n" + whole + b"FRA")
    assert len(list(PipedFrames(stream))) == 1


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("RIFF", "not YUV4MPEG2"),
        ("", "not YUV4MPEG2"),
        ("YUV4MPEG2", "no size"),
        ("YUV4MPEG2 W0 H2", "no size"),
        ("YUV4MPEG2 W2 H-2", "no size"),
        ("YUV4MPEG2 W999999 H999999", "million pixels"),
        ("YUV4MPEG2 W99 H99 A99999999:1", "million pixels"),
        ("YUV4MPEG2 W2 H2 It", "interlaced.*yadif"),
        ("YUV4MPEG2 W2 H2 C420p10", r"'420p10' cannot be read.*-pix_fmt yuv420p"),
        ("YUV4MPEG2 W2 H2 C444alpha", "cannot be read"),
        ("YUV4MPEG2 W2 H2 C422jpeg", "cannot be read"),
        ("YUV4MPEG2 W2 H2 X" + "x" * 2000, "not YUV4MPEG2"),
    ],
)
def test_what_cannot_be_followed_is_refused(header: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        piped(header)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"YUV4MPEG2 W4 H4 Cmono\n" + b"FRAME\n" + bytes(16), id="another size"),
        pytest.param(b"FRAME\nFRAME\n" + bytes(4), id="no bytes"),
        pytest.param(b"x" * 2000, id="no line"),
    ],
)
def test_frames_that_are_followed_by_something_else_are_no_end(other: bytes) -> None:
    """They ended without a word, with all that would have come."""
    whole = b"FRAME\n" + bytes([100] * 4)
    frames = iter(PipedFrames(io.BytesIO(b"YUV4MPEG2 W2 H2 Cmono\n" + 2 * whole + other)))
    assert [int(next(frames).mean()) for _ in range(2)] == [98, 98]
    with pytest.raises(DeviceFailed, match=r"standard input: .* after [23] of them"):
        list(frames)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.binary(max_size=64))
def test_whatever_comes_is_frames_or_refused(header: bytes, rest: bytes) -> None:
    try:
        found = PipedFrames(io.BytesIO(b"YUV4MPEG2 W2 H2 " + header + b"\nFRAME\n" + rest))
        assert all(frame.ndim == 3 for frame in found)
    except (BadInput, DeviceFailed):
        return


def test_frames_come_through_standard_input(tmp_path: Path) -> None:
    with (tmp_path / "a.y4m").open("wb") as stream:
        write_stream(stream, smooth((48, 64)), 12.5)
    code = (
        "from edgeanim.runtime.media import probe_fps, probe_length, read_frames\n"
        "print(probe_length('-'), probe_fps('-'), sum(1 for _ in read_frames('-')))"
    )
    with (tmp_path / "a.y4m").open("rb") as stream:
        run = subprocess.run(
            [sys.executable, "-c", code], stdin=stream, capture_output=True, text=True, check=True
        )
    assert run.stdout.split() == ["None", "12.5", "3"]
    code = "from edgeanim.runtime.media import probe_fps; probe_fps('-')"
    run = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert "not YUV4MPEG2" in run.stderr
