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
from edgeanim.runtime.media.mp4_boxes import Box, boxes

# sRGB's primaries and transfer, the matrix of BT.601, and Y from 16 to 235.
_COLR = struct.pack(">I4s4sHHHB", 19, b"colr", b"nclx", 1, 13, 6, 0)
# The way to the description of the pictures, and what precedes the boxes in the contents of each.
_WAY = ((b"moov", 0), (b"trak", 0), (b"mdia", 0), (b"minf", 0), (b"stbl", 0), (b"stsd", 8))
_PICTURES = b"mp4v"


def name_colours(path: Path) -> None:
    """Add the box to the MP4 `path`, whose index lies at its end, as OpenCV writes it;
    `DeviceFailed` if it does not."""
    with path.open("r+b") as stream:
        start, end = 0, stream.seek(0, 2)
        around = []
        for kind, before in _WAY:
            box = _first(stream, kind, start, end)
            around.append(box)
            start, end = box.contents + before, box.stop
        around.append(_first(stream, _PICTURES, start, end))
        if around[0].stop != stream.seek(0, 2):
            raise _unknown()
        place = around[-1].stop
        stream.seek(place)
        rest = stream.read()
        stream.seek(place)
        stream.write(_COLR + rest)
        for box in around:
            stream.seek(box.start)
            stream.write(struct.pack(">I", box.stop - box.start + len(_COLR)))


def _first(stream: BinaryIO, kind: bytes, start: int, end: int) -> Box:
    """The first box of this kind from `start` to `end`."""
    for box in boxes(stream, kind, start, end):
        return box
    raise _unknown()


def _unknown() -> DeviceFailed:
    return DeviceFailed(
        "This machine's OpenCV writes an MP4 of an unknown build.", hint="Write a .webm."
    )
