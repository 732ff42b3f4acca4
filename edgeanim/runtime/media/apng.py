"""Animated PNG, written frame by frame, since Pillow's own writer holds all frames.

After the Portable Network Graphics specification, third edition: `acTL` counts the frames, `fcTL`
says of each where it lies and how long it is shown, `fdAT` holds what `IDAT` does in the first.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from edgeanim.runtime.media.stills import PNG
from edgeanim.runtime.media.writing import PNG_LEVEL, changed, delays
from edgeanim.runtime.scene import Picture

_KIND = {3: 2, 4: 6}
"""PNG's number for the colours of so many channels."""
# Frames a second at which 16 bits hold a frame's milliseconds.
_SLOW = 1000 / 0xFFFF
_COUNT_AT = len(PNG) + 25  # behind IHDR


def write_apng(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write uint8 [H, W, 3 or 4] `frames` of one size to `path`, looping; lossless."""
    ticks = 1000 if fps > _SLOW else 100
    with path.open("wb") as stream:
        before: Picture | None = None
        count = parts = 0
        for frame, shown in zip(frames, delays(fps, ticks), strict=False):
            if before is None:
                height, width, channels = frame.shape
                head = struct.pack(">IIBBBBB", width, height, 8, _KIND[channels], 0, 0, 0)
                stream.write(PNG + _chunk(b"IHDR", head) + _frame_count(0))
            parts = _write_frame(stream, frame, before, (shown, ticks), parts)
            before = frame
            count += 1
        stream.write(_chunk(b"IEND", b""))
        stream.seek(_COUNT_AT)
        stream.write(_frame_count(count))


def _write_frame(
    stream: IO[bytes], frame: Picture, before: Picture | None, shown: tuple[int, int], parts: int
) -> int:
    """Write the part that changed, `shown` for so many of so many ticks a second; `parts` are
    numbered throughout, and their new number is returned."""
    rows, columns = changed(frame, before)
    place = (columns.stop - columns.start, rows.stop - rows.start, columns.start, rows.start)
    # The area stays as it is afterwards (0), and is replaced, not blended (0).
    control = struct.pack(">IIIIIHHBB", parts, *place, *shown, 0, 0)
    stream.write(_chunk(b"fcTL", control))
    parts += 1
    for data in _compressed(frame[rows, columns]):
        if before is None:
            stream.write(_chunk(b"IDAT", data))
        else:
            stream.write(_chunk(b"fdAT", struct.pack(">I", parts) + data))
            parts += 1
    return parts


def _compressed(picture: Picture) -> Iterator[bytes]:
    """What the IDAT chunks of a PNG of `picture` hold."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", compress_level=PNG_LEVEL)
    data, at = buffer.getbuffer(), len(PNG)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if bytes(data[at + 4 : at + 8]) == b"IDAT":
            yield bytes(data[at + 8 : at + 8 + size])
        at += size + 12


def _frame_count(frames: int) -> bytes:
    return _chunk(b"acTL", struct.pack(">II", frames, 0))  # 0: forever


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
