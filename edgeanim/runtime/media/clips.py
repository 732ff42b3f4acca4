"""Clips (mp4, mov, mkv, webm, avi), decoded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.errors import BadInput
from edgeanim.core.native import native_name
from edgeanim.core.quiet import quiet
from edgeanim.runtime.media.clip_geometry import as_shown
from edgeanim.runtime.media.interlaced import refuse_interlaced
from edgeanim.runtime.media.opencv import next_frame, silent_cv2
from edgeanim.runtime.media.stills import check_size, head_of, refuse_unread_picture
from edgeanim.runtime.scene import Picture

# So many frames at a clip's beginning tell how fast it is.
_LOOKED_AT = 30
# What MP4 and MOV begin with. Of QuickTime older than `ftyp`, as many cameras wrote it, any of its
# other boxes may be first.
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# Containers tell roughly how many frames they hold; fewer than this share means a cut-off file.
_WHOLE = 0.9
_PAIR = 2
_ENCODE = "Encode it again as H.264: ffmpeg -i CLIP NEW.mp4."


def clip_frames(path: Path) -> Iterator[tuple[Picture, float]]:
    """The clip's frames, uint8 RGB [H, W, 3], each with the milliseconds for which it is shown, the
    last as long as the one before it. `BadInput` for what is no clip, and for one that breaks off;
    the first at once."""
    _check_container(path)
    return _decoded(path)


def _decoded(path: Path) -> Iterator[tuple[Picture, float]]:
    import cv2

    with _open_clip(path) as clip:
        shown_form = as_shown(clip, path)
        stated, fps = clip.get(cv2.CAP_PROP_FRAME_COUNT), _clip_fps(clip)
        held: Picture | None = None
        count, at, shown, played = 0, 0.0, 0.0, 0.0
        while (frame := next_frame(clip)) is not None:
            count += 1
            now, frame = _moment(clip), shown_form(frame)
            if held is not None:
                if count == _PAIR and np.array_equal(held, frame):
                    refuse_interlaced(path)
                shown = now - at
                played += shown
                yield held, shown
            held, at = frame, now
    if held is None:
        raise BadInput(
            "None of the clip's frames can be decoded: it is damaged, or its codec, such as "
            "AV1, cannot be read here.",
            where=path,
            hint=_ENCODE,
        )
    # Where frames come as they please, their number is the container's guess; its length is not.
    _check_whole(path, count, stated, due=(fps or 0) * (played + shown) / 1000)
    if count == 1:
        refuse_interlaced(path)
    yield held, shown


def _check_whole(path: Path, count: int, stated: float, *, due: float) -> None:
    """`BadInput` if neither the `count` of the frames nor what would be `due` in their time comes
    near the number that the clip states."""
    if not max(count, due) >= _WHOLE * stated:
        raise BadInput(
            f"The clip breaks off: {count} of {max(stated, 1):.0f} frames could be decoded.",
            where=path,
            hint="Copy or encode it again.",
        )


def clip_times(path: Path) -> tuple[float | None, list[float]]:
    """The frames per second that the clip states, `None` if it states none, and the milliseconds
    for which its first frames are shown."""
    with _open_clip(path) as clip:
        moments: list[float] = []
        while len(moments) <= _LOOKED_AT and clip.grab():
            moments.append(_moment(clip))
        return _clip_fps(clip), [after - at for at, after in itertools.pairwise(moments)]


def clip_length(path: Path) -> int | None:
    """How many frames the clip states to have, if it does."""
    with _open_clip(path) as clip:
        import cv2

        stated = clip.get(cv2.CAP_PROP_FRAME_COUNT)
        return round(stated) if math.isfinite(stated) and stated > 0 else None


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


def _moment(clip: Any) -> float:
    """When the frame that was decoded last is shown, in milliseconds."""
    import cv2

    return float(clip.get(cv2.CAP_PROP_POS_MSEC))


def _clip_fps(clip: Any) -> float | None:
    import cv2

    fps = float(clip.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and fps > 0 else None
