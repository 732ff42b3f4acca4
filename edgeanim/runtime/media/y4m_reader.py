"""Frames that another program writes into a pipe: YUV4MPEG2, as `y4m` writes it for others.

So whatever a program like FFmpeg can read or convert can be followed, and so can a camera that
OpenCV cannot open.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from functools import cache
from io import RawIOBase
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, DeviceFailed, UsageError
from edgeanim.runtime.media.stills import check_size
from edgeanim.runtime.media.y4m import TO_YUV
from edgeanim.runtime.scene import Picture

STANDARD_INPUT = "-"
"""What to read from for frames that come through a pipe."""
_WHERE = "standard input"
_MAGIC, _FRAME = b"YUV4MPEG2", b"FRAME"
_LONGEST_LINE = 1024
_CHUNK = 1 << 16
_CONVERT = "Let its program write 8-bit 4:2:0, as ffmpeg does with -pix_fmt yuv420p."
_PIPE = "Pipe frames in: ffmpeg -i clip.mp4 -f yuv4mpegpipe - | edgeanim animate … --drive -"
_TO_FULL_YUV = np.array(
    [
        [0.299, 0.587, 0.114, 0],
        [-0.168736, -0.331264, 0.5, 128],
        [0.5, -0.418688, -0.081312, 128],
    ]
)
# How many of a picture's columns and rows share a sample of Cb and Cr, by the `C` of a header.
_SHARED = {b"420": (2, 2), b"422": (2, 1), b"444": (1, 1), b"mono": (0, 0)}
_SITINGS = (b"jpeg", b"mpeg2", b"paldv")


class PipedFrames:
    """The frames of `stream`, uint8 RGB [H, W, 3], once, as they come; `fps` is what it states, if
    it does. What is cut off at its end is left out: its writer was stopped. `DeviceFailed` where
    something else than a frame comes: its writer failed, or began anew with another size.

    Without a name for the colours, they are taken for those of ITU-R BT.601, as FFmpeg takes them.
    `BadInput` for what is no such stream, or of more than 8 bits, or interlaced.
    """

    def __init__(self, stream: IO[bytes] | _Unlocked) -> None:
        self._stream = stream
        magic, *fields = self._line().split(b" ")
        if magic != _MAGIC:
            raise BadInput("What is piped in is not YUV4MPEG2.", where=_WHERE, hint=_PIPE)
        stated = {field[:1]: field[1:] for field in fields if field and field[:1] != b"X"}
        width, height = (self._number(stated.get(key, b"")) for key in (b"W", b"H"))
        check_size((width, height), _WHERE)
        if stated.get(b"I", b"p") not in (b"p", b"?"):
            raise BadInput(
                "What is piped in is interlaced.", where=_WHERE, hint="Convert it with -vf yadif."
            )
        self.fps = self._ratio(stated.get(b"F", b""))
        pixel = self._ratio(stated.get(b"A", b"")) or 1.0
        self._shown = max(1, round(width * pixel)), height
        check_size(self._shown, _WHERE)
        self._shared = _shared(stated.get(b"C", b"420"))
        self._size = width, height
        full = b"XCOLORRANGE=FULL" in fields
        self._to_rgb = _inverse(_TO_FULL_YUV if full else TO_YUV)

    def __iter__(self) -> Iterator[Picture]:
        for number in itertools.count():
            line = self._stream.readline(_LONGEST_LINE)
            if len(line) < _LONGEST_LINE and not line.endswith(b"\n"):
                return
            if line.rstrip(b"\n").split(b" ")[0] != _FRAME:
                raise DeviceFailed(
                    f"Something else than a frame came through it after {number} of them.",
                    where=_WHERE,
                    hint="All that comes is one YUV4MPEG2, of frames of one size.",
                )
            planes = self._planes()
            if planes is None:
                return
            yield self._picture(planes)

    def _planes(self) -> list[NDArray[np.uint8]] | None:
        """Y, Cb and Cr [h, w] of the next frame; `None` if it breaks off."""
        (width, height), (columns, rows) = self._size, self._shared
        sizes = [(height, width)]
        if columns:
            sizes += [(-(-height // rows), -(-width // columns))] * 2
        planes = []
        for size in sizes:
            data = self._stream.read(size[0] * size[1])
            if len(data) < size[0] * size[1]:
                return None
            planes.append(np.frombuffer(data, np.uint8).reshape(size))
        return planes

    def _picture(self, planes: list[NDArray[np.uint8]]) -> Picture:
        import cv2

        light, *colours = planes
        if not colours:
            colours = [np.full_like(light, 128)] * 2
        whole = [light, *(cv2.resize(plane, self._size) for plane in colours)]
        picture: Any = cv2.transform(cv2.merge(whole), self._to_rgb)
        if self._shown != self._size:
            picture = cv2.resize(picture, self._shown)
        shown: Picture = picture
        return shown

    def _line(self) -> bytes:
        line = self._stream.readline(_LONGEST_LINE)
        return line[:-1] if line.endswith(b"\n") else b""

    @staticmethod
    def _number(text: bytes) -> int:
        if not text.isdigit() or len(text) > 6 or not int(text):
            raise BadInput("What is piped in states no size.", where=_WHERE, hint=_PIPE)
        return int(text)

    @staticmethod
    def _ratio(text: bytes) -> float | None:
        """A ratio like 30000:1001; `None` for one that is not known, like 0:0."""
        over, _, under = text.partition(b":")
        if not (over.isdigit() and under.isdigit() and len(text) < 24):
            return None
        return int(over) / int(under) if int(over) and int(under) else None


@cache
def standard_input() -> PipedFrames:
    """The frames that come through standard input, which can be asked for their rate before.
    `UsageError` if it is closed or a terminal."""
    if sys.__stdin__ is None or sys.stdin.isatty():
        raise UsageError("No frames come through standard input.", hint=_PIPE)
    raw = getattr(sys.stdin.buffer, "raw", None)  # a program may have put something else there
    return PipedFrames(sys.stdin.buffer if raw is None else _Unlocked(raw))


class _Unlocked:
    """Reads from a raw stream. While Python's own buffer waits for a pipe it holds a lock, without
    which the interpreter cannot end: a thread that reads could not be left behind."""

    def __init__(self, raw: RawIOBase) -> None:
        self._raw, self._held = raw, bytearray()

    def read(self, count: int) -> bytes:
        """So many bytes; fewer at the end of the stream."""
        while len(self._held) < count and self._more(count - len(self._held)):
            pass
        return self._take(count)

    def readline(self, most: int) -> bytes:
        """A line with its end, or its first `most` bytes, or what is left of the stream."""
        while (end := self._held.find(b"\n", 0, most)) < 0:
            if len(self._held) >= most or not self._more(_CHUNK):
                return self._take(most)
        return self._take(end + 1)

    def _more(self, wanted: int) -> bool:
        given = self._raw.read(max(wanted, _CHUNK))
        self._held += given or b""
        return bool(given)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


def _shared(coding: bytes) -> tuple[int, int]:
    plain = coding
    for siting in _SITINGS:
        plain = plain.removesuffix(siting)
    if plain not in _SHARED or (plain != coding and plain != b"420"):
        name = coding[:20].decode("ascii", "replace")
        raise BadInput(f"Colours coded as {name!r} cannot be read.", where=_WHERE, hint=_CONVERT)
    return _SHARED[plain]


def _inverse(to_yuv: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix and constants that undo those of `to_yuv`, [3, 4]."""
    back = np.linalg.inv(to_yuv[:, :3])
    undone: NDArray[np.float64] = np.column_stack([back, -back @ to_yuv[:, 3]])
    return undone
