"""Stills and clips: real files read, damaged ones refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.runtime.media import (
    probe_fps,
    probe_length,
    read_frames,
    read_still,
    stills,
    write_animation,
)


def _save(path: Path, picture: np.ndarray, **options) -> Path:
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.fixture
def clip(tmp_path: Path, pictures: np.ndarray) -> Path:
    path = tmp_path / "clip.mp4"
    write_animation(path, np.repeat(pictures, 4, axis=0), 20)
    return path


# --- stills -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_a_still_is_read_as_it_was_saved(tmp_path, pictures, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = _save(tmp_path / f"a.{suffix}", pictures[0], **options)
    np.testing.assert_array_equal(read_still(path), pictures[0])


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt", b"iCCP"])
def test_memory_is_taken_for_what_a_chunk_holds_and_not_for_what_it_claims(tmp_path, kind):
    """A board with less memory than the 2 GB said that it had none left."""
    whole = _save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8)).read_bytes()
    claim = (0x7FFFFFFF).to_bytes(4, "big") + kind + bytes(64)
    (tmp_path / "a.png").write_bytes(whole[:33] + claim)  # behind IHDR
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="damaged or cut off"):
            read_still(tmp_path / "a.png")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_jpeg_is_turned_upright_by_its_exif_orientation(tmp_path, pictures):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    path = _save(tmp_path / "a.jpg", pictures[0][:40], quality=95, exif=exif)
    for still in (read_still(path), next(read_frames(path))):
        assert still.shape == (64, 40, 3)
        assert np.abs(still.astype(int) - np.rot90(pictures[0][:40], -1)).mean() < 4


def test_a_large_jpeg_is_decoded_as_small_as_it_is_wanted_and_shows_the_same(tmp_path, pictures):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.asarray(Image.fromarray(pictures[0]).resize((801, 600)))
    for mode in ("RGB", "CMYK"):
        path = tmp_path / f"{mode}.jpg"
        Image.fromarray(wide).convert(mode).save(path, quality=95, exif=exif)
        whole = read_still(path)
        for side, size in ((100, (201, 150)), (300, (401, 300)), (301, (801, 600))):
            still = read_still(path, side=side)
            assert still.shape == (*size, 3)
            shrunk = np.asarray(Image.fromarray(whole).resize(size[::-1], Image.Resampling.BOX))
            assert np.abs(still.astype(int) - shrunk).mean() < 3
    png = _save(tmp_path / "a.png", wide)
    np.testing.assert_array_equal(read_still(png, side=50), wide)


def test_transparency_is_kept_where_there_is_some_and_dropped_where_there_is_none(
    tmp_path, pictures
):
    alpha = np.full((64, 64, 1), 255, np.uint8)
    opaque = np.concatenate([pictures[0], alpha], 2)
    assert read_still(_save(tmp_path / "a.png", opaque)).shape == (64, 64, 3)
    alpha[10:20] = 7
    clear = np.concatenate([pictures[0], alpha], 2)
    np.testing.assert_array_equal(read_still(_save(tmp_path / "b.png", clear)), clear)
    palette = Image.fromarray(pictures[0]).quantize(16)
    palette.info["transparency"] = 0
    palette.save(tmp_path / "c.png", transparency=0)
    assert read_still(tmp_path / "c.png").shape == (64, 64, 4)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    still = read_still(_save(tmp_path / "a.png", ramp))
    np.testing.assert_allclose(still[0, :, 0], np.arange(256), atol=1)


def test_the_transparent_level_of_sixteen_bit_grey_is_transparent(tmp_path):
    grey = np.array([[0, 1000, 65535]], np.uint16)
    still = read_still(_save(tmp_path / "a.png", grey, transparency=1000))
    np.testing.assert_array_equal(still[0, :, 3], [255, 0, 255])
    np.testing.assert_array_equal(still[0, :, 0], [0, 4, 255])


def test_grey_and_cmyk_become_rgb(tmp_path, pictures):
    Image.fromarray(pictures[0]).convert("L").save(tmp_path / "a.png")
    Image.fromarray(pictures[0]).convert("CMYK").save(tmp_path / "b.jpg", quality=95)
    assert read_still(tmp_path / "a.png").shape == (64, 64, 3)
    assert np.abs(read_still(tmp_path / "b.jpg").astype(int) - pictures[0]).mean() < 4


@pytest.mark.parametrize("read", [read_still, lambda path: list(read_frames(path))])
def test_what_is_no_picture_is_refused_in_one_paragraph(tmp_path, read):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    for name, said in [
        ("missing.png", "No such file"),
        ("empty.png", "empty"),
        ("text.png", "can be read"),
        ("folder.png", "folder"),
    ]:
        with pytest.raises(BadInput, match=said) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_still, lambda path: next(read_frames(path)), probe_fps])
def test_a_pipe_is_told_as_one_and_nothing_is_taken_from_it(read):
    end, start = os.pipe()
    try:
        os.write(start, b"\x89PNG\r\n\x1a\n")
        os.close(start)
        with pytest.raises(BadInput, match="a pipe, and a file is needed"):
            read(Path(f"/dev/fd/{end}"))
        assert os.read(end, 8) == b"\x89PNG\r\n\x1a\n"
    finally:
        os.close(end)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path, pictures, suffix):
    path = _save(tmp_path / f"a.{suffix}", pictures[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match="damaged or cut off"):
        read_still(path)


def test_a_picture_whose_head_is_damaged_is_told_of_without_names_of_python(tmp_path, pictures):
    path = _save(tmp_path / "a.png", pictures[0])
    path.write_bytes(path.read_bytes().replace(b"IHDR", b"IHDX"))
    with pytest.raises(BadInput, match=r"head does not parse\.") as caught:
        read_still(path)
    assert "Reader" not in str(caught.value)


def test_a_picture_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(BadInput, match="more than 64 million pixels"):
        read_still(path)
    monkeypatch.setattr(stills, "MAX_PIXELS", 100)
    with pytest.raises(BadInput, match="million pixels"):
        read_still(_save(tmp_path / "a.png", np.zeros((11, 10, 3), np.uint8)))


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(suffix=st.sampled_from(["png", "jpg", "gif", "webp", "bmp"]), data=st.data())
def test_a_damaged_picture_is_read_or_refused_never_anything_else(tmp_path, pictures, suffix, data):
    path = _save(tmp_path / f"a.{suffix}", pictures[0][:24, :24])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for read in (lambda p: [read_still(p)], lambda p: list(read_frames(p, limit=3))):
        try:
            for picture in read(path):
                assert picture.dtype == np.uint8
                assert picture.ndim == 3
        except BadInput:
            pass


# --- frames -------------------------------------------------------------------------------------


def test_a_clip_gives_its_frames_in_rgb_at_its_rate(clip, pictures):
    frames = list(read_frames(clip))
    assert len(frames) == 32
    assert probe_fps(clip) == 20
    # The coding is lossy, but channels and order show.
    for i in range(8):
        assert np.abs(frames[4 * i + 2].astype(int) - pictures[i]).mean() < 10
    assert len(list(read_frames(clip, limit=5))) == 5


def test_a_clip_that_is_cut_off_is_refused(tmp_path, clip):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:-400])
    with pytest.raises(BadInput, match=r"cut\.mp4.*(damaged|breaks off)"):
        list(read_frames(cut))
    with pytest.raises(BadInput, match="damaged"):
        probe_fps(cut)


def test_a_clip_in_a_coding_that_cannot_be_read_is_not_called_cut_off(tmp_path, clip):
    av1 = tmp_path / "av1.mp4"
    named = clip.read_bytes().replace(b"mp4v", b"av01").replace(b"esds", b"free")
    av1.write_bytes(named)
    with pytest.raises(BadInput, match=r"None of .* codec, such as AV1, cannot be read.*H\.264"):
        list(read_frames(av1))


@pytest.mark.parametrize("first", [b"wide", b"free", b"skip"])
def test_quicktime_that_does_not_name_its_type_is_read(tmp_path, clip, first):
    content = clip.read_bytes()
    assert content[4:8] == b"ftyp"
    path = tmp_path / "camera.mov"
    path.write_bytes(content[:4] + first + content[8:])
    assert np.array_equal(list(read_frames(path)), list(read_frames(clip)))


def test_an_avi_is_read(tmp_path, pictures):
    cv2 = pytest.importorskip("cv2")
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, code, 10, (64, 64))
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    writer.release()
    frames = np.stack(list(read_frames(tmp_path / "a.avi")))
    assert np.abs(frames.astype(int) - pictures).mean() < 8


def test_a_matroska_clip_that_ends_too_early_is_refused(tmp_path, media):
    whole = (media / "clips_asl" / "no.mkv").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"breaks off: \d+ of 66 frames"):
        list(read_frames(cut))
    assert len(list(read_frames(cut, limit=5))) == 5


def test_real_media_are_read(media):
    shapes = {
        "clips_asl/no.mkv": (66, (480, 640, 3), 30),
        "clips_head/head_turn_a.gif": (23, (270, 480, 3), pytest.approx(12, abs=0.1)),
    }
    for name, (count, shape, fps) in shapes.items():
        frames = list(read_frames(media / name))
        assert (len(frames), frames[0].shape, probe_fps(media / name)) == (count, shape, fps)
    assert read_still(media / "stills" / "horse.png").shape == (328, 400, 4)


def test_native_readers_keep_off_the_terminal(tmp_path, clip):
    """In a process of its own: OpenCV reads its switches only once."""
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:3000])
    script = (
        "import sys; from edgeanim.core.errors import EdgeanimError\n"
        "from edgeanim.runtime.media import read_frames, write_animation\n"
        "for source in sys.argv[1:3]:\n"
        "    try: list(read_frames(source))\n"
        "    except EdgeanimError as error: pass\n"
        "    else: sys.exit('read')\n"
        "write_animation(sys.argv[3], read_frames(sys.argv[4]), 10)\n"
    )
    args = [str(cut), "camera:77", str(tmp_path / "o.mp4"), str(clip)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *args], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_length_is_told_without_decoding(tmp_path, clip, pictures):
    write_animation(tmp_path / "a.gif", pictures, 10)
    write_animation(tmp_path / "frames/", pictures, 10)
    for source in (clip, tmp_path / "a.gif", tmp_path / "frames"):
        assert probe_length(source) == len(list(read_frames(source)))
    assert probe_length("camera:77") is None


def test_a_still_is_a_clip_of_one_frame(tmp_path, pictures):
    frames = list(read_frames(_save(tmp_path / "a.png", pictures[0])))
    np.testing.assert_array_equal(frames, pictures[:1])


def test_a_phones_jpeg_is_one_picture(tmp_path, pictures):
    """Behind it lies its gain or depth map, of another size, which is no second frame."""
    path, behind = tmp_path / "phone.jpg", Image.fromarray(pictures[1][:32, :32])
    Image.fromarray(pictures[0]).save(path, "MPO", save_all=True, append_images=[behind])
    assert [frame.shape for frame in read_frames(path)] == [pictures[0].shape]
    assert probe_length(path) == 1


def test_the_cover_of_an_animated_png_is_no_frame_of_it(tmp_path, pictures):
    cover, *frames = (Image.fromarray(picture) for picture in pictures[:4])
    cover.save(
        tmp_path / "a.png", save_all=True, append_images=frames, default_image=True, duration=50
    )
    np.testing.assert_array_equal(list(read_frames(tmp_path / "a.png")), pictures[1:4])
    assert probe_fps(tmp_path / "a.png") == 20
    assert probe_length(tmp_path / "a.png") == 3
    np.testing.assert_array_equal(read_still(tmp_path / "a.png"), pictures[1])


def test_a_gif_of_partial_transparent_frames_is_composed(tmp_path):
    def layer(column: int) -> Image.Image:
        image = Image.new("RGBA", (6, 2), (0, 0, 0, 0))
        image.putpixel((column, 0), (255, 0, 0, 255))
        return image

    layers = [layer(i) for i in range(3)]
    layers[0].save(
        tmp_path / "a.gif", save_all=True, append_images=layers[1:], duration=100, disposal=1
    )
    frames = list(read_frames(tmp_path / "a.gif"))
    # Nothing is disposed of, so the dots add up; what no frame covers is white.
    for count, frame in enumerate(frames, 1):
        assert (frame[0, :count] == (255, 0, 0)).all()
        assert (frame[0, 3:] == 255).all()
    assert probe_fps(tmp_path / "a.gif") == 10


@pytest.mark.parametrize("name", ["camera:2200000000", "camera:" + "9" * 50, "camera:٣"])
def test_a_number_that_no_camera_has_is_bad_input(name):
    with pytest.raises(BadInput, match="camera:"):
        next(read_frames(name))


def test_a_camera_is_opened_only_when_a_frame_is_asked_for():
    frames = read_frames("camera:77")
    with pytest.raises(DeviceFailed, match="camera:77"):
        next(frames)
