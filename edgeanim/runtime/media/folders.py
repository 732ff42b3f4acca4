"""What of a folder is read: its pictures, in order, or its clips and animations."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO, NoReturn

from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.runtime.media.stills import PNG, STILL_SUFFIXES

CLIP_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".apng")
# What may be a picture or an animation: only a look inside tells.
_EITHER = (".webp", ".png")
_SUFFIXES = (*STILL_SUFFIXES, *CLIP_SUFFIXES)
_MOST_CHUNKS = 1000  # a stranger's file may hold millions of empty ones
_ANIMATED_WEBP = 0x02  # among the flags of VP8X


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (2 before 10); `BadInput` if there is none."""
    with disk_errors(folder):
        found = [
            entry
            for entry in folder.iterdir()
            if _is_called(entry, STILL_SUFFIXES) and not entry.name.startswith(".")
        ]
    if not found:
        clips = clips_in(folder)
        raise BadInput(
            "There are no pictures in this folder.",
            where=folder,
            hint=f"It holds clips: give one itself, like {clips[0].name}."
            if clips
            else "PNG, JPEG, WebP, GIF and BMP can be read.",
        )
    return sorted(found, key=lambda entry: _natural(entry.name))


def clips_in(folder: Path) -> list[Path]:
    """The clips and animations of a folder, sorted by name."""
    with disk_errors(folder):
        return sorted(filter(is_clip, folder.iterdir()))


def files_below(folder: Path) -> list[Path]:
    """The pictures, clips and animations in all folders below this one, as sets are kept that are
    sorted by class or by day: in natural order, without those that are hidden or behind links."""
    found: list[Path] = []
    with disk_errors(folder):
        for place, below, names in os.walk(folder, onerror=_raise):
            below[:] = sorted((n for n in below if not n.startswith(".")), key=_natural)
            if Path(place) != folder:
                known = (n for n in names if Path(n).suffix.lower() in _SUFFIXES)
                shown = sorted((n for n in known if not n.startswith(".")), key=_natural)
                found.extend(Path(place, name) for name in shown)
    return found


def _raise(error: OSError) -> NoReturn:
    raise error


def some_clips_in(folder: Path) -> list[Path]:
    """The same; `BadInput` if there is none."""
    found = clips_in(folder)
    if not found:
        raise BadInput(f"There are no clips ({CLIPS}) here.", where=folder)
    return found


def files_read(source: str | Path) -> list[Path]:
    """The files of which frames from `source` can be made; a folder among them, if it is one."""
    path = Path(source)
    with disk_errors(path):
        if not path.is_dir():
            return [path]
        return [path, *(each for each in path.iterdir() if _is_called(each, _SUFFIXES))]


def is_clip(path: Path) -> bool:
    """Whether a file is called as clips are, or is an animated WebP or PNG, and is not hidden. No
    more than heads are read; what cannot be read is no animation."""
    if path.name.startswith("."):
        return False
    return _is_called(path, CLIP_SUFFIXES) or (_is_called(path, _EITHER) and _is_animation(path))


def is_still(path: Path) -> bool:
    """Whether a file is called as pictures are, and is no animation."""
    return path.suffix.lower() in STILL_SUFFIXES and path.is_file() and not is_clip(path)


CLIPS = f"{', '.join(CLIP_SUFFIXES)}, animated {' and '.join(_EITHER)}"
"""What `is_clip` knows, for messages."""


def _is_called(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a file has one of these suffixes; a folder may be called anything."""
    return path.suffix.lower() in suffixes and not path.is_dir()


def _is_animation(path: Path) -> bool:
    if not path.is_file():  # a pipe might never be written to
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(21)
            if head.startswith(PNG):
                stream.seek(len(PNG))
                return _png_frames(stream) > 1
            webp = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21
            return webp and bool(head[20] & _ANIMATED_WEBP)
    except OSError:
        return False


def _png_frames(stream: IO[bytes]) -> int:
    """How many frames the chunk `acTL` counts; it comes before the first picture, if at all."""
    for _ in range(_MOST_CHUNKS):
        head = stream.read(8)
        if head[4:] == b"acTL":
            return int.from_bytes(stream.read(4), "big")
        if len(head) < 8 or head[4:] == b"IDAT":
            break
        stream.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return 1


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts runs of digits as numbers; the name itself breaks ties (`a1`, `a01`)."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.lower())
    return [(int(p), "") if p[0] in "0123456789" else (-1, p) for p in parts], name
