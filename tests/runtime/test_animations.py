"""Animations: what is written comes back, whole or not at all."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeanim.core.errors import BadInput, DeviceFailed, EdgeanimError, UsageError
from edgeanim.runtime.media import probe_fps, read_frames, video, write_animation
from edgeanim.runtime.motion import MIN_FPS


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a.gif", 6),
        ("a.mp4", 8),
        ("a.webm", 8),
        ("a.webp", 4),
        ("a.png", 0),
        ("a.apng", 0),
        ("a/", 0),
    ],
)
def test_an_animation_comes_back(tmp_path, pictures, name, error):
    target = f"{tmp_path}/{name}"
    assert write_animation(target, iter(pictures), 12.5) == 8
    frames = list(read_frames(target))
    assert len(frames) == 8
    assert np.abs(np.stack(frames).astype(int) - pictures).mean() <= error
    if not name.endswith("/"):
        assert probe_fps(target) == pytest.approx(12.5, rel=0.01)
    assert [p.name for p in tmp_path.iterdir()] == [name.rstrip("/")]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_the_slowest_rate_is_that_of_the_file_too(tmp_path, pictures, name):
    write_animation(tmp_path / name, pictures[:2], MIN_FPS)
    with Image.open(tmp_path / name) as image:
        for number in range(2):
            image.seek(number)
            image.load()
            assert image.info["duration"] == 1000 / MIN_FPS


@pytest.mark.parametrize("fps", [7, 12, 24, 30, 50])
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_times_add_up(tmp_path, pictures, name, fps):
    write_animation(tmp_path / name, np.repeat(pictures, 5, axis=0), fps)
    assert probe_fps(tmp_path / name) == pytest.approx(fps, rel=0.01)
    with Image.open(tmp_path / name) as image:
        assert image.info["loop"] == 0


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.mp4", "a.webm", "a/"])
def test_frames_are_written_as_they_come(tmp_path, pictures, name):
    """A clip in full size is larger than a board's memory."""
    made = []

    def frames():
        for picture in np.repeat(pictures, 3, axis=0):
            frame = picture.copy()
            made.append(weakref.ref(frame))
            yield frame
            del frame
            assert sum(each() is not None for each in made) <= 2

    write_animation(f"{tmp_path}/{name}", frames(), 10)


@pytest.mark.parametrize(("name", "error"), [("a.gif", 0), ("a.webp", 2), ("a.png", 0)])
@pytest.mark.parametrize("channels", [3, 4])
def test_what_changes_in_odd_places_comes_back(tmp_path, name, error, channels):
    frames = np.full((4, 41, 33, channels), 255, np.uint8)
    frames[1, 7:12, 5:9, :3] = 40
    frames[2] = frames[1]
    frames[3, 40, 32, :3] = 90
    write_animation(tmp_path / name, frames, 10)
    back = np.stack(list(read_frames(tmp_path / name))).astype(int)
    assert np.abs(back - frames[..., :3]).mean() <= error


def test_a_gif_keeps_drawings_exact_and_the_hue_of_small_areas(tmp_path, pictures):
    flat = (pictures[:3] // 128) * 255
    write_animation(tmp_path / "flat.gif", flat, 10)
    np.testing.assert_array_equal(np.stack(list(read_frames(tmp_path / "flat.gif"))), flat)
    y, x = np.mgrid[0:200, 0:200]
    brown = np.stack([120 + x // 4, 80 + y // 5, 50 + (x + y) // 9], -1).astype(np.uint8)
    brown[90:102, 90:102] = np.stack([x, 200 - x // 4, x // 3], -1)[90:102, 90:102]  # green
    write_animation(tmp_path / "brown.gif", [brown], 10)
    back = next(read_frames(tmp_path / "brown.gif"))
    eye = np.s_[91:101, 91:101]
    assert np.abs(back[eye].mean((0, 1)) - brown[eye].mean((0, 1))).max() < 8


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a/"])
def test_transparent_frames_stay_transparent(tmp_path, pictures, name):
    alpha = np.zeros((3, 64, 64, 1), np.uint8)
    for i in range(3):
        alpha[i, 10 * i : 10 * i + 20] = 255
    frames = np.concatenate([pictures[:3], alpha], axis=3)
    write_animation(f"{tmp_path}/{name}", frames, 10)
    path = tmp_path / name
    images = sorted(path.iterdir()) if path.is_dir() else [path] * 3
    for i, source in enumerate(images):
        with Image.open(source) as image:
            if not path.is_dir():
                image.seek(i)
            got = np.asarray(image.convert("RGBA"))
        np.testing.assert_array_equal(got[..., 3:], alpha[i])


def test_a_gif_shows_what_is_at_least_half_opaque(tmp_path, pictures):
    alpha = np.full((64, 64, 1), 127, np.uint8)
    alpha[:32] = 128
    write_animation(tmp_path / "a.gif", [np.concatenate([pictures[0], alpha], axis=2)], 10)
    with Image.open(tmp_path / "a.gif") as image:
        shown = np.asarray(image.convert("RGBA"))[:, :, 3]
    assert (shown[:32] == 255).all()
    assert (shown[32:] == 0).all()


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_an_odd_size_is_made_even_for_encoders_by_repeating_its_edge(tmp_path, pictures, name):
    write_animation(tmp_path / name, pictures[:, :33, :47], 10)
    frame = next(read_frames(tmp_path / name))
    assert frame.shape == (34, 48, 3)
    assert np.abs(frame[33].astype(int) - frame[32]).mean() < 6


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
@pytest.mark.parametrize("colour", [0, 3, 64, 128, 200, 252, 255, (224, 172, 140), (60, 90, 30)])
def test_a_clip_is_as_bright_as_its_frames_and_of_their_hue(tmp_path, colour, name):
    """Its encoder cuts off where it should round, and so does the reader, by up to two levels."""
    frame = np.empty((32, 32, 3), np.uint8)
    frame[:] = colour
    write_animation(tmp_path / name, [frame] * 3, 10)
    error = list(read_frames(tmp_path / name))[-1].mean((0, 1)) - frame[0, 0]
    assert np.abs(error).max() <= 2
    assert np.ptp(error) <= 2


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """The boxes of an MP4, or of one of its boxes, by their kinds."""
    found = {}
    while data:
        size = int.from_bytes(data[:4], "big")
        found[data[4:8]] = data[8:size]
        data = data[size:]
    return found


def test_an_mp4_names_its_colours(tmp_path, pictures):
    """Players take those of a large one without a name for others than OpenCV encodes."""
    write_animation(tmp_path / "a.mp4", pictures, 10)
    inner = (tmp_path / "a.mp4").read_bytes()
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        inner = _boxes(inner)[kind]
    entry = _boxes(_boxes(inner)[b"stsd"][8:])[b"mp4v"]
    # Coding-independent code points (ITU-T H.273): sRGB, encoded by BT.601 in the narrow range.
    assert _boxes(entry[78:])[b"colr"] == b"nclx" + bytes([0, 1, 0, 13, 0, 6, 0])
    assert len(list(read_frames(tmp_path / "a.mp4"))) == 8


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_a_clip_of_which_frames_were_lost_is_told(tmp_path, pictures, monkeypatch, name):
    """The encoder tells of no write that failed, as on a full disk."""
    monkeypatch.setattr(video, "read_frames", lambda _path: pictures[:7])
    with pytest.raises(DeviceFailed, match="Only 7 of 8 frames were written"):
        write_animation(tmp_path / name, pictures, 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "most"), [("a.mp4", 8190), ("a.webm", 16382)])
def test_frames_too_large_for_a_clip_are_refused_by_name(tmp_path, name, most):
    for size in ((2, most + 1), (most + 1, 2)):
        with pytest.raises(UsageError, match=f"at most {most} pixels.*smaller pictures"):
            write_animation(tmp_path / name, np.zeros((2, *size, 3), np.uint8), 10)
    assert not list(tmp_path.iterdir())
    assert write_animation(tmp_path / name, np.zeros((2, 2, most, 3), np.uint8), 10) == 2


def test_identical_frames_keep_their_time(tmp_path, pictures):
    write_animation(tmp_path / "a.gif", np.repeat(pictures[:1], 6, axis=0), 10)
    assert len(list(read_frames(tmp_path / "a.gif"))) == 6


def test_nothing_is_left_when_the_frames_fail_half_way(tmp_path, pictures):
    def breaking():
        yield from pictures[:3]
        raise BadInput("the driver broke")

    for name in ("a.gif", "a.mp4", "a.webm", "a.webp", "a.png", "a/"):
        with pytest.raises(BadInput, match="the driver broke"):
            write_animation(f"{tmp_path}/{name}", breaking(), 10)
        with pytest.raises(BadInput, match="no frames"):
            write_animation(f"{tmp_path}/{name}", [], 10)
        with pytest.raises(BadInput, match="Frame 1"):
            write_animation(f"{tmp_path}/{name}", [pictures[0], pictures[1][:9]], 10)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_things_in_it_is_never_replaced(tmp_path, pictures):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"letters\.txt"):
        write_animation(tmp_path, pictures, 10)
    assert (tmp_path / "letters.txt").read_text() == "dear"
    write_animation(tmp_path / "out", pictures, 10)
    write_animation(tmp_path / "out", pictures[:2], 10)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_name_that_ends_in_a_slash_is_a_folder_whatever_else_it_looks_like(tmp_path, pictures):
    assert write_animation(f"{tmp_path}/run.gif/", pictures, 60) == 8
    (tmp_path / "there.png").mkdir()
    write_animation(tmp_path / "there.png", pictures, 60)
    for name in ("run.gif", "there.png"):
        assert len(list((tmp_path / name).iterdir())) == 8


@pytest.mark.parametrize(("name", "fps"), [("a.xyz", 10), ("a.gif", 0), ("a.gif", float("nan"))])
def test_a_request_that_makes_no_sense_is_refused(tmp_path, pictures, name, fps):
    with pytest.raises(UsageError):
        write_animation(tmp_path / name, pictures, fps)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_full_disk_is_a_devices_failure(tmp_path, pictures, monkeypatch, suffix):
    """The writers are pointed at a device that is always full."""
    from contextlib import contextmanager

    from edgeanim.core.errors import disk_errors
    from edgeanim.runtime.media import animations

    full = tmp_path / f"full{suffix}"
    full.symlink_to("/dev/full")

    @contextmanager
    def to_full(path):
        with disk_errors(path):
            yield full

    monkeypatch.setattr(animations, "atomic_path", to_full)
    with pytest.raises(EdgeanimError) as caught:
        write_animation(tmp_path / f"a{suffix}", pictures, 10)
    assert isinstance(caught.value, DeviceFailed)
    assert "disk is full" in str(caught.value)


@pytest.mark.parametrize("fps", [0.01, 23.976, 1000 / 15, 1000 / 7, 999.99])
def test_an_mp4_has_any_rate(tmp_path, pictures, fps):
    """MPEG-4 counts in at most 65535 ticks a second, which is told as an encoder that fails."""
    write_animation(tmp_path / "a.mp4", pictures, fps)
    assert probe_fps(tmp_path / "a.mp4") == pytest.approx(fps, rel=1e-3)


@pytest.mark.parametrize("fps", [0.1, 23.976, 1000 / 15, 240, 999.99])
def test_a_webm_has_any_rate_but_the_slowest(tmp_path, pictures, fps):
    write_animation(tmp_path / "a.webm", pictures, fps)
    assert probe_fps(tmp_path / "a.webm") == pytest.approx(fps, rel=1e-3)
    assert (tmp_path / "a.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"
    with pytest.raises(UsageError, match=r"at least 0\.1 frames a second"):
        write_animation(tmp_path / "b.webm", pictures, 0.09)
    assert [p.name for p in tmp_path.iterdir()] == ["a.webm"]


def test_a_gif_is_never_slower_than_asked_for(tmp_path, pictures):
    with pytest.raises(UsageError, match=r"a\.gif.*at most 50 frames a second"):
        write_animation(tmp_path / "a.gif", pictures, 60)
    write_animation(tmp_path / "a.webp", pictures, 60)
