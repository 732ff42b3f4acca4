"""What of a folder is read as frames, and what as clips."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from edgeanim.core.errors import BadInput
from edgeanim.runtime.media import clips_in, files_read, read_frames, write_animation


def _save(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path)


def test_a_folder_is_read_in_natural_order(tmp_path, pictures):
    for number in (10, 9, 1, 100):
        _save(tmp_path / f"frame{number}.png", np.full((4, 4, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    assert [int(f[0, 0, 0]) for f in read_frames(tmp_path)] == [1, 9, 10, 100]
    _save(tmp_path / "frame11.png", pictures[0])
    with pytest.raises(BadInput, match=r"frame11\.png.*64x64.*4x4"):
        list(read_frames(tmp_path))


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no pictures"):
        read_frames(tmp_path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_is_no_frame_of_a_folder(tmp_path, pictures, suffix):
    """Its first picture would be taken, and the rest dropped without a word."""
    write_animation(tmp_path / f"1.{suffix}", pictures[:3], 10)
    with pytest.raises(BadInput, match=rf"1\.{suffix}: This is an animation.*Give it itself"):
        list(read_frames(tmp_path))
    write_animation(tmp_path / f"1.{suffix}", pictures[:1], 10)
    assert len(list(read_frames(tmp_path))) == 1


def test_animated_pictures_are_among_the_clips_of_a_folder(tmp_path, pictures):
    for name in ("a.webp", "b.png", "c.gif"):
        write_animation(tmp_path / name, pictures[:3], 10)
    Image.fromarray(pictures[0]).save(tmp_path / "still.png")
    Image.fromarray(pictures[0]).save(tmp_path / "still.webp")
    Image.fromarray(pictures[0]).save(tmp_path / "apng.png", save_all=True)
    (tmp_path / "b.png").rename(tmp_path / "b.apng")
    told = PngInfo()
    told.add_text("Comment", "before what says how many frames there are")
    first, *others = map(Image.fromarray, pictures[:3])
    first.save(tmp_path / "d.png", save_all=True, append_images=others, pnginfo=told)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "cut.webp").write_bytes(b"RIFF")
    os.mkfifo(tmp_path / "pipe.png")
    assert [clip.name for clip in clips_in(tmp_path)] == ["a.webp", "b.apng", "c.gif", "d.png"]


def test_a_folder_is_no_file_whatever_it_is_called(tmp_path, pictures):
    for name in ("x.mp4", "x.gif", "x.png"):
        (tmp_path / name).mkdir()
    assert clips_in(tmp_path) == []
    assert files_read(tmp_path) == [tmp_path]
    with pytest.raises(BadInput, match="no pictures"):
        read_frames(tmp_path)
    _save(tmp_path / "0.png", pictures[0])
    write_animation(tmp_path / "1.webm", pictures[:3], 10)
    assert clips_in(tmp_path) == [tmp_path / "1.webm"]
    assert len(list(read_frames(tmp_path))) == 1


def test_frames_go_into_a_folder_whatever_it_is_called(tmp_path, pictures):
    (tmp_path / "x.mp4").mkdir()
    assert write_animation(tmp_path / "x.mp4", pictures[:3], 10) == 3
    assert len(list(read_frames(tmp_path / "x.mp4"))) == 3
