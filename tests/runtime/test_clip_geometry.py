"""Clips that say how their pictures are to be laid out are shown so."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.runtime.media import (
    mp4_colour,
    probe_length,
    read_frames,
    read_still,
    write_animation,
)

_ONE = 1 << 16


def _corners(frame: np.ndarray) -> str:
    """Which colour each corner has: top left, top right, bottom left, bottom right."""
    ends = (frame[4, 4], frame[4, -5], frame[-5, 4], frame[-5, -5])
    return "".join("RGBK"[int(np.argmax([*end, 100]))] for end in ends)


def _laid(clip: Path, matrix: tuple[int, int, int, int]) -> bytes:
    """The clip with another matrix in its track's header."""
    a, b, c, d = (number * _ONE for number in matrix)
    plain = struct.pack(">9i", _ONE, 0, 0, 0, _ONE, 0, 0, 0, 1 << 30)
    other = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content = clip.read_bytes()
    at = content.index(plain, content.index(b"tkhd"))
    return content[:at] + other + content[at + len(other) :]


@pytest.fixture
def upright(tmp_path: Path) -> Path:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32, 0] = frame[:24, 32:, 1] = frame[24:, :32, 2] = 250
    write_animation(tmp_path / "upright.mp4", [frame] * 4, 25)
    return tmp_path / "upright.mp4"


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((1, 0, 0, 1), "RGBK"),
        ((0, 1, -1, 0), "BRKG"),
        ((-1, 0, 0, -1), "KBGR"),
        ((0, -1, 1, 0), "GKRB"),
        ((-1, 0, 0, 1), "GRKB"),
        ((1, 0, 0, -1), "BKRG"),
        ((0, 1, 1, 0), "RBGK"),
        ((0, -1, -1, 0), "KGBR"),
    ],
)
def test_a_clip_is_turned_and_mirrored_as_it_says(upright, tmp_path, matrix, corners):
    path = tmp_path / "laid.mp4"
    path.write_bytes(_laid(upright, matrix))
    frames = list(read_frames(path))
    assert [_corners(frame) for frame in frames] == [corners] * 4
    assert frames[0].shape == ((48, 64, 3) if matrix[0] else (64, 48, 3))
    assert probe_length(path) == 4


@pytest.mark.parametrize(
    ("matrix", "corners", "size"),
    [
        ((1, 0, 0, 1), "RGBK", (48, 128)),
        ((0, 1, -1, 0), "BRKG", (128, 48)),
        ((-1, 0, 0, 1), "GRKB", (48, 128)),
        ((0, 1, 1, 0), "RBGK", (128, 48)),
    ],
)
def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(
    upright, tmp_path, monkeypatch, matrix, corners, size
):
    monkeypatch.setattr(mp4_colour, "_COLR", struct.pack(">I4sII", 16, b"pasp", 2, 1))
    mp4_colour.name_colours(upright)  # puts that box there instead
    (tmp_path / "wide.mp4").write_bytes(_laid(upright, matrix))
    (frame, *_) = read_frames(tmp_path / "wide.mp4")
    assert frame.shape[:2] == size
    assert _corners(frame) == corners


@pytest.mark.parametrize("brand", [b"heic", b"avif"])
def test_a_picture_in_a_clips_container_is_told_as_that(tmp_path, brand):
    path = tmp_path / "a.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftyp" + brand + bytes(40))
    for read in (read_still, lambda path: list(read_frames(path))):
        with pytest.raises(BadInput, match=r"HEIC or AVIF picture.*JPEG or PNG"):
            read(path)
