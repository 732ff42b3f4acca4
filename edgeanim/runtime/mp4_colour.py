"""The colours of an MP4 named in the file, which OpenCV's writer leaves out.

Without a name, players take the colours of all that is larger than standard definition for those of
ITU-R BT.709, while OpenCV encodes by BT.601 whatever the size: red would be shown as orange. A
`colr` box after ISO/IEC 14496-12 says how they are coded, in the numbers of ITU-T H.273.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from edgeanim.core.errors import DeviceFailed

# sRGB's primaries and transfer, the matrix of BT.601, and Y from 16 to 235.
_COLR = struct.pack(">I4s4sHHHB", 19, b"colr", b"nclx", 1, 13, 6, 0)
# The way to the description of the pictures, and how much precedes the boxes within each box.
_WAY = ((b"moov", 8), (b"trak", 8), (b"mdia", 8), (b"minf", 8), (b"stbl", 8), (b"stsd", 16))
_PICTURES = b"mp4v"


def name_colours(path: Path) -> None:
    """Add the box to the MP4 `path`, whose index lies at its end, as OpenCV writes it;
    `DeviceFailed` if it does not."""
    with path.open("r+b") as stream:
        start, end = 0, stream.seek(0, 2)
        boxes = []
        for kind, before in _WAY:
            place, size = _find(stream, kind, start, end)
            boxes.append((place, size))
            start, end = place + before, place + size
        boxes.append(_find(stream, _PICTURES, start, end))
        index, length = boxes[0]
        if index + length != stream.seek(0, 2):
            raise _unknown()
        place = sum(boxes[-1])
        stream.seek(place)
        rest = stream.read()
        stream.seek(place)
        stream.write(_COLR + rest)
        for start, size in boxes:
            stream.seek(start)
            stream.write(struct.pack(">I", size + len(_COLR)))


def _find(stream: BinaryIO, kind: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the first box of this kind from `start` to `end` begins, and how long it is."""
    while start + 8 <= end:
        stream.seek(start)
        size, found = struct.unpack(">I4s", stream.read(8))
        if found == kind:
            return start, size
        if size == 1:  # what is longer than 32 bits can say
            (size,) = struct.unpack(">Q", stream.read(8))
        start += max(8, size)
    raise _unknown()


def _unknown() -> DeviceFailed:
    return DeviceFailed("This machine's OpenCV writes an MP4 of an unknown build.")
