"""How the pictures of a clip are to be shown, beyond the turns that OpenCV makes of itself.

Mirrored, as some phones' front cameras and editors leave them: MP4 and MOV say so by a matrix in
the track's header (ISO/IEC 14496-12, `tkhd`), which OpenCV takes for a half turn, or for nothing.
And in pixels that are not square, as camcorders and discs have them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgeanim.core.errors import disk_errors
from edgeanim.runtime.media.mp4_boxes import Box, boxes
from edgeanim.runtime.media.stills import check_size
from edgeanim.runtime.scene import Picture

_MOST, _SEEN = 4.0, 0.01  # of the width of pixels: what is likely, and what can be seen


def as_shown(clip: Any, path: Path) -> Callable[[Picture], Picture]:
    """What makes of a frame, as OpenCV's `clip` will decode it, the picture that is shown."""
    import cv2

    mirror, stretch = _mirrored(path), _pixel_width(clip)
    if mirror is not None:
        clip.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    turned = mirror is None and clip.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90

    def shown(frame: Picture) -> Picture:
        if stretch != 1:
            height, width = frame.shape[:2]
            size = (width, height * stretch) if turned else (width * stretch, height)
            size = (max(1, round(size[0])), max(1, round(size[1])))
            check_size(size, path)
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        return frame if mirror is None else mirror(frame)

    return shown


def _pixel_width(clip: Any) -> float:
    """How wide a pixel is stored for its height; 1 for what says nothing, or nothing likely."""
    import cv2

    wide, high = (clip.get(name) for name in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    ratio = wide / high if wide > 0 and high > 0 else 1.0
    return ratio if 1 / _MOST <= ratio <= _MOST and abs(ratio - 1) > _SEEN else 1.0


def _mirrored(path: Path) -> Callable[[Picture], Picture] | None:
    """What lays out a frame of the clip as it is stored; `None` unless that mirrors it."""
    with disk_errors(path), path.open("rb") as stream:
        a, b, c, d = _matrix(stream)
    if a * d - b * c >= 0:
        return None
    if abs(a) >= abs(b):
        flips = (slice(None, None, _sign(d)), slice(None, None, _sign(a)))
        return lambda frame: np.ascontiguousarray(frame[flips])
    swaps = (slice(None, None, _sign(b)), slice(None, None, _sign(c)))
    return lambda frame: np.ascontiguousarray(frame.transpose(1, 0, 2)[swaps])


def _sign(number: int) -> int:
    return -1 if number < 0 else 1


def _matrix(stream: BinaryIO) -> tuple[int, int, int, int]:
    """Of the first track of pictures: x' = ax + cy, y' = bx + dy. Zeros if there is none."""
    end = stream.seek(0, 2)
    for moov in boxes(stream, b"moov", 0, end):
        for trak in boxes(stream, b"trak", moov.contents, moov.stop):
            if not _shows(stream, trak):
                continue
            for tkhd in boxes(stream, b"tkhd", trak.contents, trak.stop):
                stream.seek(tkhd.contents)
                head = stream.read(min(tkhd.stop - tkhd.contents, 104))
                at = 52 if head[:1] == b"\x01" else 40
                if len(head) >= at + 20:
                    a, b, _, c, d = struct.unpack_from(">5i", head, at)
                    return a, b, c, d
    return 0, 0, 0, 0


def _shows(stream: BinaryIO, trak: Box) -> bool:
    for mdia in boxes(stream, b"mdia", trak.contents, trak.stop):
        for hdlr in boxes(stream, b"hdlr", mdia.contents, mdia.stop):
            stream.seek(hdlr.contents + 8)
            return stream.read(4) == b"vide"
    return False
