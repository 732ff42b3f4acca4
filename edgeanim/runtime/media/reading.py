"""Frames to follow: clips, animations, folders of pictures, stills and cameras."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from edgeanim.core.errors import BadInput
from edgeanim.runtime.media.cameras import camera_frames, is_camera
from edgeanim.runtime.media.clips import clip_frames, clip_length, clip_times
from edgeanim.runtime.media.folders import pictures_in
from edgeanim.runtime.media.image_frames import (
    animation_pictures,
    animation_times,
    frame_numbers,
    only_frame,
)
from edgeanim.runtime.media.stills import head_of, is_image, open_image
from edgeanim.runtime.media.y4m_reader import STANDARD_INPUT, standard_input
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture


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
        return (picture for picture, _ in animation_pictures(path))
    return read_frames(path)


def timed_frames(path: str | Path) -> Iterator[tuple[Picture, float]]:
    """The frames of `path`, as `read_frames` gives them, each with the milliseconds for which it is
    shown; 0 where nothing tells them."""
    if is_camera(path):
        return ((frame, 0.0) for frame in camera_frames(path))
    if is_piped(path):
        return ((frame, 0.0) for frame in standard_input())
    path = Path(path)
    if path.is_dir():
        return ((frame, 0.0) for frame in _folder_frames(path, pictures_in(path)))
    if is_image(head_of(path)):
        return ((flatten(picture), shown) for picture, shown in animation_pictures(path))
    return clip_frames(path)


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
        return None, animation_times(path)
    return clip_times(path)


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
            return len(frame_numbers(image, path))
    return clip_length(path)


def _folder_frames(folder: Path, files: list[Path]) -> Iterator[Picture]:
    first: tuple[int, ...] | None = None
    for file in files:
        frame = only_frame(file)
        first = first or frame.shape
        if frame.shape != first:
            raise BadInput(
                f"This picture has {frame.shape[1]}x{frame.shape[0]} pixels, the first of the "
                f"folder {first[1]}x{first[0]}.",
                where=folder / file.name,
                hint="The frames of a clip have one size.",
            )
        yield frame
