"""Frames to follow: clips, animations, folders of pictures, stills and cameras."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from edgeanim.core.errors import BadInput, DeviceFailed, disk_errors
from edgeanim.core.native import native_name
from edgeanim.core.quiet import quiet
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture
from edgeanim.runtime.stills import (
    STILL_SUFFIXES,
    check_size,
    decoding,
    head_of,
    is_image,
    open_image,
    pixels,
    read_still,
)

CLIP_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
# OpenCV takes no greater number, and no system has so many.
_CAMERA = re.compile(r"camera:([0-9]{1,9})")
# So many frames at a clip's beginning tell how fast it is.
_LOOKED_AT = 30
# All browsers and players show a GIF's frame of less than two hundredths of a second for ten: many
# GIFs state no time and count on that.
_LEAST_GIF_MS, _UNTIMED_GIF_MS = 20.0, 100.0
# Containers tell roughly how many frames they hold; fewer than this share means a cut-off file.
_WHOLE = 0.9
_SILENT = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "OFF"}


def read_frames(path: str | Path, *, limit: int | None = None) -> Iterator[Picture]:
    """The frames of `path` as uint8 RGB [H, W, 3], at most `limit` of them.

    `path` is a clip (mp4, mov, mkv, webm, avi), an animated GIF, WebP or PNG, a folder of pictures
    (in natural order: 2 before 10), a single picture, or `camera:N`, the N-th camera, opened only
    when its first frame is asked for. Transparent parts are shown on white. `BadInput` for
    anything else, and for a clip that breaks off; `DeviceFailed` if there is no such camera.
    """
    frames = (frame for frame, _ in timed_frames(path))
    return frames if limit is None else itertools.islice(frames, limit)


def timed_frames(path: str | Path) -> Iterator[tuple[Picture, float]]:
    """The frames of `path`, as `read_frames` gives them, each with the milliseconds for which it is
    shown; 0 where nothing tells them."""
    if camera := _CAMERA.fullmatch(str(path)):
        return ((frame, 0.0) for frame in _camera_frames(int(camera[1])))
    path = Path(path)
    if path.is_dir():
        return ((frame, 0.0) for frame in _folder_frames(path, pictures_in(path)))
    if is_image(head_of(path)):
        return _animation_frames(path)
    _check_container(path)
    return _clip_frames(path)


def stated_times(path: str | Path) -> tuple[float | None, list[float]]:
    """The frames per second that a clip states, `None` if it states none, and the milliseconds
    for which its first frames are shown, all of an animation; `None` and nothing for pictures,
    folders and cameras, which have no times."""
    if is_camera(path) or Path(path).is_dir():
        return None, []
    path = Path(path)
    if is_image(head_of(path)):
        return None, _animation_times(path)
    with _open_clip(path) as clip:
        moments: list[float] = []
        while len(moments) <= _LOOKED_AT and clip.grab():
            moments.append(_moment(clip))
        return _clip_fps(clip), [after - at for at, after in itertools.pairwise(moments)]


def is_camera(path: str | Path) -> bool:
    """Whether `path` means a camera."""
    return _CAMERA.fullmatch(str(path)) is not None


def probe_length(path: str | Path) -> int | None:
    """How many frames there are as the file states it, which may be a little off for a clip; `None`
    for cameras and files that do not say."""
    if is_camera(path):
        return None
    path = Path(path)
    if path.is_dir():
        return len(pictures_in(path))
    if is_image(head_of(path)):
        with open_image(path) as image:
            return _length(image, path)
    with _open_clip(path) as clip:
        import cv2

        stated = clip.get(cv2.CAP_PROP_FRAME_COUNT)
        return round(stated) if math.isfinite(stated) and stated > 0 else None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (2 before 10); `BadInput` if there is none."""
    with disk_errors(folder):
        found = [
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in STILL_SUFFIXES and not entry.name.startswith(".")
        ]
    if not found:
        clips = clips_in(folder)
        raise BadInput(
            "There are no pictures in this folder.",
            where=folder,
            hint=f"It holds clips: give one itself, like {clips[0].name}." if clips else None,
        )
    return sorted(found, key=lambda entry: _natural(entry.name))


def clips_in(folder: Path) -> list[Path]:
    """The clips and animations of a folder, sorted by name."""
    with disk_errors(folder):
        return sorted(filter(is_clip_name, folder.iterdir()))


def some_clips_in(folder: Path) -> list[Path]:
    """The same; `BadInput` if there is none."""
    found = clips_in(folder)
    if not found:
        raise BadInput(f"There are no clips ({', '.join(CLIP_SUFFIXES)}) here.", where=folder)
    return found


def files_read(source: str | Path) -> list[Path]:
    """The files of which frames from `source` can be made; a folder among them, if it is one."""
    path = Path(source)
    if not path.is_dir():
        return [path]
    with disk_errors(path):
        suffixes = (*STILL_SUFFIXES, *CLIP_SUFFIXES)
        return [path, *(each for each in path.iterdir() if each.suffix.lower() in suffixes)]


def is_clip_name(path: Path) -> bool:
    """Whether a file is called as clips and animations are, and is not hidden."""
    return path.suffix.lower() in CLIP_SUFFIXES and not path.name.startswith(".")


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts runs of digits as numbers; the name itself breaks ties (`a1`, `a01`)."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.lower())
    return [(int(p), "") if p[0] in "0123456789" else (-1, p) for p in parts], name


def _folder_frames(folder: Path, files: list[Path]) -> Iterator[Picture]:
    first: tuple[int, ...] | None = None
    for file in files:
        frame = flatten(read_still(file))
        first = first or frame.shape
        if frame.shape != first:
            raise BadInput(
                f"This picture has {frame.shape[1]}x{frame.shape[0]} pixels, the first of the "
                f"folder {first[1]}x{first[0]}.",
                where=folder / file.name,
                hint="The frames of a clip have one size.",
            )
        yield frame


def _animation_frames(path: Path) -> Iterator[tuple[Picture, float]]:
    with open_image(path) as image:
        # An APNG may carry a cover picture that is no frame of it.
        first = 1 if image.info.get("default_image") else 0
        for number in range(first, _length(image, path)):
            with decoding(path):
                image.seek(number)
                frame = flatten(pixels(image))
            yield frame, _milliseconds(image)


def _length(image: Image.Image, path: Path) -> int:
    if image.format == "MPO":  # a phone's JPEG: what follows the picture are maps of it
        return 1
    with decoding(path):
        return int(getattr(image, "n_frames", 1))


def _animation_times(path: Path) -> list[float]:
    times = []
    with open_image(path) as image, decoding(path):
        for number in range(_length(image, path)):
            image.seek(number)
            image.load()  # WebP states a frame's time only once it is decoded
            times.append(_milliseconds(image))
    return times


def _milliseconds(image: Image.Image) -> float:
    """How long the frame that was decoded last is shown; 0 if it does not say. One of an animated
    GIF that states less than players take seriously is shown as they show it."""
    stated = float(image.info.get("duration", 0))
    animated = image.format == "GIF" and getattr(image, "is_animated", False)
    return _UNTIMED_GIF_MS if animated and stated < _LEAST_GIF_MS else stated


def _check_container(path: Path) -> None:
    """Only what looks like a clip is handed to native demuxers."""
    head = head_of(path)
    known = head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3")
    if not known and not (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        raise BadInput(
            "This is neither a clip nor a picture that can be read.",
            where=path,
            hint="Clips: mp4, mov, mkv, webm, avi. Pictures: PNG, JPEG, WebP, GIF, BMP.",
        )


def _clip_frames(path: Path) -> Iterator[tuple[Picture, float]]:
    import cv2

    with _open_clip(path) as clip:
        stated, fps = clip.get(cv2.CAP_PROP_FRAME_COUNT), _clip_fps(clip)
        held: Picture | None = None
        count, at, shown, played = 0, 0.0, 0.0, 0.0
        while (frame := _next_frame(clip)) is not None:
            count += 1
            now = _moment(clip)
            if held is not None:
                shown = now - at
                played += shown
                yield held, shown
            held, at = frame, now
    # Where frames come as they please, their number is the container's guess; its length is not.
    whole = count >= _WHOLE * stated or (fps or 0) * (played + shown) >= 1000 * _WHOLE * stated
    if held is None or not whole:
        raise BadInput(
            f"The clip breaks off: {count} of {max(stated, 1):.0f} frames could be decoded.",
            where=path,
            hint="Copy or encode it again.",
        )
    yield held, shown  # as long as the one before it


@contextmanager
def _open_clip(path: Path) -> Iterator[Any]:
    cv2 = silent_cv2()
    _check_container(path)
    with native_name(path) as name, quiet():
        clip = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    try:
        if not clip.isOpened():
            raise BadInput(
                "The clip is damaged, cut off, or in a coding that cannot be read.",
                where=path,
                hint="Encode it again as H.264 in .mp4.",
            )
        size = (int(clip.get(cv2.CAP_PROP_FRAME_WIDTH)), int(clip.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        check_size(size, path)
        yield clip
    finally:
        clip.release()


def _camera_frames(number: int) -> Iterator[Picture]:
    cv2 = silent_cv2()
    with quiet():
        camera = cv2.VideoCapture(number)
    where = f"camera:{number}"
    try:
        if not camera.isOpened():
            raise DeviceFailed(
                "There is no such camera, or it is in use.",
                where=where,
                hint="See /dev/video* for those that this machine has.",
            )
        # Frames that wait for a slow network are old when they are followed.
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        while (frame := _next_frame(camera)) is not None:
            yield frame
        raise DeviceFailed("The camera stopped giving frames.", where=where)
    finally:
        camera.release()


def _next_frame(capture: Any) -> Picture | None:
    import cv2

    got, frame = capture.read()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if got else None


def silent_cv2() -> Any:
    """OpenCV with the messages of its demuxers and its own off; they ask for this once, when they
    are first used."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
    import cv2

    return cv2


def _moment(clip: Any) -> float:
    """When the frame that was decoded last is shown, in milliseconds."""
    import cv2

    return float(clip.get(cv2.CAP_PROP_POS_MSEC))


def _clip_fps(clip: Any) -> float | None:
    import cv2

    fps = float(clip.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and fps > 0 else None
