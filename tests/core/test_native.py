"""Native code and files whose names it cannot take."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim.core.native import native_name, write_png
from edgeanim.runtime.media import probe_fps, read_frames, write_animation

ODD = os.fsdecode(b"odd\xff")


def test_a_clip_with_a_name_that_is_not_utf8_is_written_and_read(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    """OpenCV, given the name itself, ends the process."""
    clip = tmp_path / ODD / f"{ODD}.mp4"
    write_animation(clip, pictures, 10)
    assert len(list(read_frames(clip))) == 8
    assert probe_fps(clip) == 10
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]


def test_other_names_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "é.mp4"
    path.touch()
    with native_name(path) as name:
        assert name == str(path.resolve())


def test_what_lies_beside_a_file_is_found_beside_its_name(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    for name in ("graph.xml", "graph.bin"):
        (folder / name).write_text(name)
    with native_name(folder / "graph.xml") as name:
        name.encode()
        assert Path(name).read_text() == "graph.xml"
        assert Path(name).with_suffix(".bin").read_text() == "graph.bin"
    assert not Path(name).exists()


def test_pictures_are_written_under_any_name(tmp_path: Path, pictures: np.ndarray) -> None:
    for picture in (pictures[0], pictures[0, :, :, 0]):
        write_png(tmp_path / f"{ODD}.png", picture)
        with Image.open(tmp_path / f"{ODD}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), picture)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(pictures: np.ndarray) -> None:
    with pytest.raises(OSError, match="No space"):
        write_png(Path("/dev/full"), pictures[0])
