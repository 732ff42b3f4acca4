"""MP4 (MPEG-4 Part 2) and WebM (VP8), written by OpenCV's encoders and read back, since these tell
of no failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.core.native import native_name
from edgeanim.core.quiet import quiet
from edgeanim.runtime.media.mp4_colour import name_colours
from edgeanim.runtime.media.opencv import silent_cv2
from edgeanim.runtime.media.reading import read_frames
from edgeanim.runtime.media.writing import too_large
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture

_FULL = "Is the disk full? Free some space there, or write elsewhere."
# The encoders' Y, Cb and Cr are cut off, not rounded, which makes a picture darker and greener:
# grey 128 becomes (125, 128, 125). In whole levels of B, G and R this adds half a level to each of
# them; a white, which has no room for it, stays white if it has one level less of G.
_HALF_A_LEVEL, _BRIGHTEST = (2, 0, 1, 0), (255, 254, 255, 255)


@dataclass(frozen=True)
class _Coding:
    """A file format with its one coding: the code of four letters, the most pixels of a side, both
    of which are even, and the slowest rate in frames per second."""

    name: str
    code: str
    most_side: int
    least_fps: float = 0.0


# MPEG-4 has 13 bits for a side, and its encoder takes none of 8192.
_MP4 = _Coding("MP4", "mp4v", 8190)
# VP8 has 14 bits for a side. WebM counts milliseconds, in 15 bits: slower clips cannot be read.
_WEBM = _Coding("WebM", "VP80", 16382, least_fps=0.1)


def write_mp4(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write uint8 [H, W, 3 or 4] `frames` of one size to `path`: transparent parts on white, an odd
    edge repeated. `UsageError` if a side is too long, `DeviceFailed` for what was not written."""
    _write(path, frames, _mp4_rate(fps), _MP4)
    name_colours(path)


def write_webm(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """The same in a form that browsers play, at 0.1 frames a second or more. Players take the
    colours of VP8 for those of ITU-R BT.601, as OpenCV encodes them."""
    if fps < _WEBM.least_fps:
        raise UsageError(
            f"A WebM shows at least {_WEBM.least_fps:g} frames a second.", hint="Write an .mp4."
        )
    _write(path, frames, fps, _WEBM)


def _write(path: Path, frames: Iterable[Picture], fps: float, coding: _Coding) -> None:
    writer = None
    count = 0
    try:
        for frame in frames:
            picture = _encodable(frame)
            writer = writer or _open_writer(path, picture.shape[1::-1], fps, coding)
            writer.write(picture)
            count += 1
    finally:
        if writer is not None:
            with quiet():
                writer.release()
    _check_written(path, count)


def _open_writer(path: Path, size: tuple[int, ...], fps: float, coding: _Coding) -> Any:
    cv2 = silent_cv2()
    if max(size) > coding.most_side:
        raise too_large(f"A {coding.name}", coding.most_side)
    with native_name(path) as name, quiet():
        code = cv2.VideoWriter_fourcc(*coding.code)
        writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, code, fps, size)
    if not writer.isOpened():
        raise DeviceFailed(
            f"This machine's OpenCV cannot write {coding.name} ({coding.code}).",
            hint="Write a .webp or .gif.",
        )
    return writer


def _encodable(frame: Picture) -> Picture:
    """`frame` as BGR of an even size, so coloured that it comes out as it was."""
    cv2 = silent_cv2()
    odd = (frame.shape[0] % 2, frame.shape[1] % 2)
    even = cv2.copyMakeBorder(flatten(frame), 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE)
    bgr = cv2.cvtColor(even, cv2.COLOR_RGB2BGR)
    encodable: Picture = cv2.min(cv2.add(bgr, _HALF_A_LEVEL), _BRIGHTEST)
    return encodable


def _check_written(path: Path, count: int) -> None:
    """The encoder reports no failed write; a full disk shows in what can be read back."""
    try:
        written = sum(1 for _ in read_frames(path))
    except BadInput as error:
        what = "The clip could not be written whole."
        raise DeviceFailed(what, where=path, hint=_FULL) from error
    if written != count:
        what = f"Only {written} of {count} frames were written."
        raise DeviceFailed(what, where=path, hint=_FULL)


def _mp4_rate(fps: float) -> float:
    """`fps` with as many decimals as MPEG-4 has room for: it counts in at most 65535 ticks a
    second, and OpenCV in powers of ten."""
    return round(fps, 3 if fps < 65 else 2 if fps < 650 else 1)
