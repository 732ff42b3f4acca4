"""Interlaced clips are read right or refused; never as what memory happens to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.runtime.media import interlaced, read_frames, write_animation

# Four frames of 64x64 by x264 with `interlaced=1`: red, with a blue bar that moves 8 pixels a time.
CLIP = Path(__file__).with_name("interlaced.mp4")


@pytest.mark.parametrize("limit", [None, 1])
def test_an_interlaced_clip_is_read_right_or_refused(limit: int | None) -> None:
    frames, refused = [], ""
    try:
        frames = list(read_frames(CLIP, limit=limit))
    except BadInput as error:
        refused = str(error)
    if frames:  # by an OpenCV that converts them
        assert np.abs(frames[0][32, 50].astype(int) - [200, 40, 40]).max() < 20
    else:
        assert "The clip is interlaced" in refused


def test_a_clip_that_holds_still_is_no_interlaced_one(tmp_path: Path) -> None:
    frame = np.full((48, 64, 3), 90, np.uint8)
    write_animation(tmp_path / "held.mp4", [frame] * 3, 25)
    assert len(list(read_frames(tmp_path / "held.mp4"))) == 3


def test_only_a_clip_that_does_not_move_is_asked(tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(interlaced, "_said_of", lambda name: asked.append(name) or b"")
    moving = [np.full((48, 64, 3), level, np.uint8) for level in (20, 90, 160)]
    write_animation(tmp_path / "moving.mp4", moving, 25)
    assert len(list(read_frames(tmp_path / "moving.mp4"))) == 3
    assert not asked
