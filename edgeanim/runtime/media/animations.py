"""Finished animations: written frame by frame, whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import atomic_folder, atomic_path, may_become_folder
from edgeanim.runtime.media.apng import write_apng
from edgeanim.runtime.media.gif import write_gif
from edgeanim.runtime.media.video import write_mp4, write_webm
from edgeanim.runtime.media.webp import write_webp
from edgeanim.runtime.media.writing import PNG_LEVEL
from edgeanim.runtime.motion import MAX_FPS, MIN_FPS
from edgeanim.runtime.scene import Picture, check_picture

_FRAME_NAME = "frame_{:05d}.png"
_OUR_FRAME = re.compile(r"frame_\d{5,}\.png")
_MAX_GIF_FPS = 50


def write_animation(path: str | Path, frames: Iterable[Picture], fps: float) -> int:
    """Write uint8 [H, W, 3 or 4] `frames` of one size as the suffix of `path` says; returns their
    number.

    `.gif`    loops; a palette for each frame; transparency is on or off (from 128). At most
              50 fps: times are in 1/100 s, and players treat less than 2 as 10
    `.mp4`    MPEG-4 Part 2; an odd edge is repeated to make the size even; transparent parts on
              white
    `.webm`   VP8, which browsers play; otherwise as an .mp4. At least 0.1 fps
    `.webp`   loops, quality 90, with transparency
    `.png`    animated PNG, loops, lossless; also as `.apng`
    a folder  (an existing one, or a name without suffix or ending in `/`): PNGs named
              frame_00000.png on; a folder with anything else in it is left alone

    Nothing appears under `path` before all frames are written. `UsageError` for another suffix or
    rate, `BadInput` for no frames or frames of several sizes, `DeviceFailed` if the disk is full.
    """
    check_rate(fps, path)
    suffix, path = _suffix(path), Path(path)
    checked = _Counted(frames)
    if not suffix:
        _write_folder(path, checked)
        return checked.count
    writers = {
        ".gif": write_gif,
        ".mp4": write_mp4,
        ".webm": write_webm,
        ".webp": write_webp,
        ".png": write_apng,
        ".apng": write_apng,
    }
    if suffix not in writers:
        raise UsageError(
            f"An animation cannot be written as {path.suffix!r}.",
            where=path,
            hint=f"Use {', '.join(writers)}, or a folder (a name that ends in /).",
        )
    with atomic_path(path) as partial:
        writers[suffix](partial, checked, fps)
    return checked.count


def check_rate(fps: float, path: str | Path) -> None:
    """`UsageError` unless `fps` is a frame rate that can be written to `path`."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise UsageError(f"The frame rate {fps} is not between {MIN_FPS:g} and {MAX_FPS:g}.")
    if fps > most_fps(path):
        raise UsageError(
            f"A GIF shows at most {_MAX_GIF_FPS} frames a second; with {fps:g} it would be slow.",
            where=path,
            hint="Write .webm, .mp4, .webp or .png, or at a lower rate.",
        )


def most_fps(path: str | Path) -> float:
    """The frames a second that what is written to `path` can show."""
    return _MAX_GIF_FPS if _suffix(path) == ".gif" else MAX_FPS


def _suffix(path: str | Path) -> str:
    """The suffix, in lower case, that says how to write to `path`; none for a folder."""
    folder = str(path).endswith(("/", os.sep)) or Path(path).is_dir()
    return "" if folder else Path(path).suffix.lower()


class _Counted:
    """Frames on their way to a file: checked to be of one size, and counted."""

    def __init__(self, frames: Iterable[Picture]) -> None:
        self._frames = frames
        self.count = 0

    def __iter__(self) -> Iterator[Picture]:
        first: tuple[int, ...] | None = None
        for frame in self._frames:
            check_picture(frame, f"frame {self.count}")
            first = first or frame.shape
            if frame.shape != first:
                raise BadInput(f"Frame {self.count} is {frame.shape}, the first was {first}.")
            self.count += 1
            yield frame
        if not self.count:
            raise BadInput("There are no frames to write.")


def _write_folder(path: Path, frames: Iterable[Picture]) -> None:
    may_become_folder(path, lambda name: _OUR_FRAME.fullmatch(name) is not None)
    with atomic_folder(path) as partial:
        for number, frame in enumerate(frames):
            name = _FRAME_NAME.format(number)
            Image.fromarray(frame).save(partial / name, compress_level=PNG_LEVEL)
