"""Clips, animated pictures, folders and sprite sheets become frames on the canvas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.models.data.clips.importers import clip_pictures, sheet_pictures, to_canvas
from edgeanim.models.data.puppets.puppet import SIZE


@pytest.fixture
def animation(tmp_path):
    """A GIF of five frames, 60x30, a bright square walking right."""
    frames = []
    for i in range(5):
        frame = np.full((30, 60, 3), 20, np.uint8)
        frame[10:20, 10 * i : 10 * i + 10] = 220
        frames.append(Image.fromarray(frame))
    path = tmp_path / "walk.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, loop=0)
    return path


def test_an_animation_is_padded_or_cropped_to_the_canvas(animation):
    padded = list(clip_pictures(animation, fit="pad"))
    cropped = list(clip_pictures(animation, fit="crop"))
    assert len(padded) == len(cropped) == 5
    assert padded[0].shape == (SIZE, SIZE, 3)
    # Padded, the first square shows at its third of the width; cropped, the middle half is left.
    assert padded[0][SIZE // 2, 21].max() > 150
    assert cropped[0].max() < 150
    assert cropped[2][SIZE // 2, SIZE // 4 : SIZE // 2].max() > 150


def test_frames_are_taken_now_and_then_and_no_more_than_asked(animation):
    assert len(list(clip_pictures(animation, every=2))) == 3
    assert len(list(clip_pictures(animation, every=2, limit=2))) == 2
    with pytest.raises(UsageError):
        list(clip_pictures(animation, every=0))


def test_a_folder_of_frames_is_a_sequence(tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((40, 40, 3), 50 * i, np.uint8))
    pictures = list(clip_pictures(tmp_path))
    assert [int(p.mean()) for p in pictures] == [0, 50, 100]


@pytest.fixture
def sheet(tmp_path):
    """Two rows of three cells, 20x10, the last one empty; transparent around the figures."""
    picture = np.zeros((20, 60, 4), np.uint8)
    for i in range(5):
        top, left = 10 * (i // 3), 20 * (i % 3)
        picture[top + 2 : top + 8, left + 5 : left + 15] = (40 * i, 100, 200, 255)
    path = tmp_path / "sheet.png"
    cv2.imwrite(str(path), picture)
    return path


def test_a_sheet_is_cut_row_by_row_without_empty_cells(sheet):
    rows = sheet_pictures(sheet, (20, 10))
    assert [len(row) for row in rows] == [3, 2]
    middle = [picture[SIZE // 2, SIZE // 2] for row in rows for picture in row]
    assert [int(colour[2]) for colour in middle] == [0, 40, 80, 120, 160]


def test_a_cell_that_does_not_fit_is_refused_with_one_that_does(sheet):
    with pytest.raises(BadInput, match="Perhaps the cell is 20 pixels wide"):
        sheet_pictures(sheet, (21, 10))
    with pytest.raises(UsageError, match="20x0 pixels holds nothing"):
        sheet_pictures(sheet, (20, 0))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x1aE\xdf\xa3" + b"\0" * 50, b"hello world"])
def test_what_is_no_clip_is_refused(tmp_path, content):
    path = tmp_path / "bad.gif"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        list(clip_pictures(path))
    with pytest.raises(BadInput):
        sheet_pictures(path, (4, 4))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["crop", "pad"]))
def test_any_picture_fills_the_canvas_and_keeps_its_colours(height, width, fit):
    picture = np.zeros((height, width, 3), np.uint8) + np.array([10, 120, 240], np.uint8)
    square = to_canvas(picture, fit)
    assert square.shape == (SIZE, SIZE, 3)
    assert (square == (10, 120, 240)).all()


def test_real_sprite_sheets_and_animations_can_be_read(media):
    rows = sheet_pictures(media / "sprites/boar/sprite-sheet-239x178.png", (239, 178))
    assert sum(map(len, rows)) == 35
    assert len(list(clip_pictures(media / "sprites/boar/idle.gif", fit="pad"))) == 7
