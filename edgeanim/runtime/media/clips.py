"""Frames to follow: clips, animations, folders of pictures, stills and cameras."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from PIL import Image

from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.core.native import native_name
from edgeanim.core.quiet import quiet
from edgeanim.runtime.media.clip_geometry import as_shown
from edgeanim.runtime.media.folders import pictures_in
from edgeanim.runtime.media.interlaced import refuse_interlaced
from edgeanim.runtime.media.stills import (
    check_size,
    decoding,
    first_frame,
    head_of,
    is_image,
    open_image,
    pixels,
    refuse_unread_picture,
)
from edgeanim.runtime.media.y4m_reader import STANDARD_INPUT, standard_input
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture

# OpenCV takes no greater number, and no system has so many.
_CAMERA = re.compile(r"camera:([0-9]{1,9})")
# So many frames at a clip's beginning tell how fast it is.
_LOOKED_AT = 30
# All browsers and players show a GIF's frame of less than two hundredths of a second for ten: many
# GIFs state no time and count on that.
_LEAST_GIF_MS, _UNTIMED_GIF_MS = 20.0, 100.0
# What MP4 and MOV begin with. Of QuickTime older than `ftyp`, as many cameras wrote it, any of its
# other boxes may be first.
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# As Pillow calls a JPEG with others behind it.
_SEVERAL = "MPO"
# Containers tell roughly how many frames they hold; fewer than this share means a cut-off file.
_WHOLE = 0.9
_PAIR = 2
# USB cameras send damaged and empty frames now and then; one that is gone sends nothing else.
_BAD_FRAMES, _PATIENCE_S = 10, 1.0
_ENCODE = "Encode it again as H.264 in .mp4."
_SILENT = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "OFF"}


def read_frames(path: str | Path, *, limit: int | None = None) -> Iterator[Picture]:
    """The frames of `path` as uint8 RGB [H, W, 3], at most `limit` of them.

    `path` is a clip (mp4, mov, mkv, webm, avi), an animated GIF, WebP or PNG, a folder of pictures
    (in natural order: 2 before 10), a single picture, `-` for what comes through standard input
    (see `y4m_reader`), or `camera:N`, the N-th camera, opened only when its first frame is asked
    for. Transparent parts are shown on white. `BadInput` for anything else, and for a clip that
    breaks off; `DeviceFailed` if there is no such camera, or it stops giving frames of one size, or
    if something else than frames comes through a pipe.
    """
    frames = (frame for frame, _ in timed_frames(path))
    return frames if limit is None else itertools.islice(frames, limit)


def read_stills(path: Path) -> Iterator[Picture]:
    """The frames of a clip, an animation or a single picture, each as `read_still` gives it: uint8
    [H, W, 3], or [H, W, 4] if any of it is transparent. `BadInput` as `read_frames`."""
    if is_image(head_of(path)):
        return (picture for picture, _ in _animation_pictures(path))
    return read_frames(path)


def timed_frames(path: str | Path) -> Iterator[tuple[Picture, float]]:
    """The frames of `path`, as `read_frames` gives them, each with the milliseconds for which it is
    shown; 0 where nothing tells them."""
    if camera := _CAMERA.fullmatch(str(path)):
        return ((frame, 0.0) for frame in _camera_frames(int(camera[1])))
    if is_piped(path):
        return ((frame, 0.0) for frame in standard_input())
    path = Path(path)
    if path.is_dir():
        return ((frame, 0.0) for frame in _folder_frames(path, pictures_in(path)))
    if is_image(head_of(path)):
        return ((flatten(picture), shown) for picture, shown in _animation_pictures(path))
    _check_container(path)
    return _clip_frames(path)


def stated_times(path: str | Path) -> tuple[float | None, list[float]]:
    """The frames per second that a clip states, `None` if it states none, and the milliseconds
    for which its first frames are shown, all of an animation; `None` and nothing for pictures,
    folders and cameras, which have no times."""
    if is_piped(path):
        return standard_input().fps, []
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


def is_piped(path: str | Path) -> bool:
    """Whether `path` means standard input."""
    return str(path) == STANDARD_INPUT


def is_live(path: str | Path) -> bool:
    """Whether `path` means what cannot be read a second time and may have no end: a camera, or
    standard input."""
    return is_camera(path) or is_piped(path)


def probe_length(path: str | Path) -> int | None:
    """How many frames there are as the file states it, which may be a little off for a clip; `None`
    for cameras and files that do not say."""
    if is_live(path):
        return None
    path = Path(path)
    if path.is_dir():
        return len(pictures_in(path))
    if is_image(head_of(path)):
        with open_image(path) as image:
            return len(_numbers(image, path))
    with _open_clip(path) as clip:
        import cv2

        stated = clip.get(cv2.CAP_PROP_FRAME_COUNT)
        return round(stated) if math.isfinite(stated) and stated > 0 else None


def _folder_frames(folder: Path, files: list[Path]) -> Iterator[Picture]:
    first: tuple[int, ...] | None = None
    for file in files:
        frame = _only_frame(file)
        first = first or frame.shape
        if frame.shape != first:
            raise BadInput(
                f"This picture has {frame.shape[1]}x{frame.shape[0]} pixels, the first of the "
                f"folder {first[1]}x{first[0]}.",
                where=folder / file.name,
                hint="The frames of a clip have one size.",
            )
        yield frame


def _only_frame(file: Path) -> Picture:
    with open_image(file) as image, decoding(file):
        if image.format != _SEVERAL and getattr(image, "is_animated", False):
            raise BadInput(
                "This is an animation, and a folder of frames holds one picture for each.",
                where=file,
                hint="Give it itself, without the folder.",
            )
        return flatten(pixels(image))


def _animation_pictures(path: Path) -> Iterator[tuple[Picture, float]]:
    with open_image(path) as image:
        for number in _numbers(image, path):
            with decoding(path):
                image.seek(number)
                picture = pixels(image)
            yield picture, _milliseconds(image)


def _numbers(image: Image.Image, path: Path) -> range:
    """Which of the pictures in a file are its frames: not what follows a phone's JPEG, which are
    maps of it, nor the cover that an animated PNG may begin with."""
    if image.format == _SEVERAL:
        return range(1)
    with decoding(path):
        return range(first_frame(image), int(getattr(image, "n_frames", 1)))


def _animation_times(path: Path) -> list[float]:
    times = []
    with open_image(path) as image, decoding(path):
        for number in _numbers(image, path):
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
    refuse_unread_picture(head, path)
    known = head[4:8] in _FIRST_BOXES or head.startswith(b"\x1aE\xdf\xa3")
    if not known and not (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        raise BadInput(
            "This is neither a clip nor a picture that can be read.",
            where=path,
            hint="Clips: mp4, mov, mkv, webm, avi. Pictures: PNG, JPEG, WebP, GIF, BMP.",
        )


def _clip_frames(path: Path) -> Iterator[tuple[Picture, float]]:
    import cv2

    with _open_clip(path) as clip:
        shown_form = as_shown(clip, path)
        stated, fps = clip.get(cv2.CAP_PROP_FRAME_COUNT), _clip_fps(clip)
        held: Picture | None = None
        count, at, shown, played = 0, 0.0, 0.0, 0.0
        while (frame := _next_frame(clip)) is not None:
            count += 1
            now, frame = _moment(clip), shown_form(frame)
            if held is not None:
                if count == _PAIR and np.array_equal(held, frame):
                    refuse_interlaced(path)
                shown = now - at
                played += shown
                yield held, shown
            held, at = frame, now
    # Where frames come as they please, their number is the container's guess; its length is not.
    whole = count >= _WHOLE * stated or (fps or 0) * (played + shown) >= 1000 * _WHOLE * stated
    if held is None:
        raise BadInput(
            "None of the clip's frames can be decoded: it is damaged, or its codec, such as "
            "AV1, cannot be read here.",
            where=path,
            hint=_ENCODE,
        )
    if not whole:
        raise BadInput(
            f"The clip breaks off: {count} of {max(stated, 1):.0f} frames could be decoded.",
            where=path,
            hint="Copy or encode it again.",
        )
    if count == 1:
        refuse_interlaced(path)
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
                "The clip is damaged, cut off or audio only, or its codec cannot be read.",
                where=path,
                hint=_ENCODE,
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
        first: tuple[int, ...] | None = None
        while (frame := _camera_frame(camera)) is not None:
            first = first or frame.shape
            if frame.shape != first:
                raise DeviceFailed(
                    f"The camera switched from {first[1]}x{first[0]} pixels to "
                    f"{frame.shape[1]}x{frame.shape[0]}.",
                    where=where,
                )
            yield frame
        raise DeviceFailed("The camera stopped giving frames.", where=where)
    finally:
        camera.release()


def _camera_frame(camera: Any) -> Picture | None:
    """The next frame that is whole; `None` if several in a row are not, or none comes for a second.
    For one without a byte OpenCV raises an error."""
    import cv2

    began = monotonic()
    for _ in range(_BAD_FRAMES):
        with suppress(cv2.error):
            if (frame := _next_frame(camera)) is not None:
                return frame
        if monotonic() - began > _PATIENCE_S:
            break
    return None


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
