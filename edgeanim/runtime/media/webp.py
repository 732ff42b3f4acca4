"""Animated WebP, written frame by frame, since Pillow's own writer takes all frames at once.

After the WebP Container Specification: `VP8X` says what there is, `ANIM` how it loops, and each
`ANMF` holds a frame as a WebP of one picture does.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from edgeanim.runtime.media.writing import changed, delays, too_large
from edgeanim.runtime.scene import Picture

MAX_SIDE = 16383
_QUALITY = {"quality": 90, "method": 4}
_PICTURE = (b"ALPH", b"VP8 ", b"VP8L")
_ANIMATED, _TRANSPARENT = 0x02, 0x10
_REPLACE = 0x02
"""A frame takes the place of what was there: blended, a transparent pixel would keep it."""


def write_webp(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write uint8 [H, W, 3 or 4] `frames` of one size to `path`, looping; lossy, but for their
    transparency. `UsageError` if a side is longer than `MAX_SIDE`."""
    with path.open("wb") as stream:
        before: Picture | None = None
        for frame, milliseconds in zip(frames, delays(fps, 1000), strict=False):
            if before is None:
                stream.write(b"RIFF\0\0\0\0WEBP" + _header(frame))
            stream.write(_chunk(b"ANMF", _frame(frame, before, milliseconds)))
            before = frame
        size = stream.tell() - 8
        stream.seek(4)
        stream.write(struct.pack("<I", size))


def _header(frame: Picture) -> bytes:
    height, width, channels = frame.shape
    if max(height, width) > MAX_SIDE:
        raise too_large("A WebP", MAX_SIDE)
    flags = _ANIMATED | (_TRANSPARENT if channels == 4 else 0)
    canvas = struct.pack("<I", flags) + _three_bytes(width - 1) + _three_bytes(height - 1)
    clear, forever = 0, 0
    return _chunk(b"VP8X", canvas) + _chunk(b"ANIM", struct.pack("<IH", clear, forever))


def _frame(frame: Picture, before: Picture | None, milliseconds: int) -> bytes:
    """The part that changed: where it lies, which WebP counts in twos, how long, and it."""
    rows, columns = changed(frame, before)
    top, left = rows.start // 2, columns.start // 2
    part = frame[2 * top : rows.stop, 2 * left : columns.stop]
    numbers = (left, top, part.shape[1] - 1, part.shape[0] - 1, milliseconds)
    return b"".join(map(_three_bytes, numbers)) + bytes([_REPLACE]) + _encoded(part)


def _encoded(picture: Picture) -> bytes:
    """The chunks of a WebP of `picture` that hold the picture itself."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "WEBP", **_QUALITY)
    data, at, kept = buffer.getbuffer(), 12, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + size + size % 2
        if data[at : at + 4] in _PICTURE:
            kept.append(bytes(data[at:end]))
        at = end
    return b"".join(kept)


def _three_bytes(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
