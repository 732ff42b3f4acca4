"""Frames for another program while they are made: YUV4MPEG2, which players take from a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import IO

import numpy as np

from edgeanim.core.errors import UsageError
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture

STANDARD_OUTPUT = "-"
"""What to write to for frames that go through a pipe."""
_HINT = "Pipe them into one: … -o - | ffplay -"
# ITU-R BT.601, eight bits: Y, Cb and Cr of R, G and B, and the constants; Y from 16 to 235.
TO_YUV = np.array(
    [
        [65.481 / 255, 128.553 / 255, 24.966 / 255, 16],
        [-37.797 / 255, -74.203 / 255, 112 / 255, 128],
        [112 / 255, -93.786 / 255, -18.214 / 255, 128],
    ]
)


def write_stream(stream: IO[bytes], frames: Iterable[Picture], fps: float) -> int:
    """Write uint8 [H, W, 3 or 4] `frames` of one size to `stream`, each as soon as it is there;
    transparent parts on white. Returns how many were taken: it ends when nobody reads any more."""
    count = 0
    for frame in frames:
        opaque = flatten(frame)
        try:
            if not count:
                stream.write(_header(opaque, fps))
            stream.write(b"FRAME\n" + _planes(opaque))
            stream.flush()
        except BrokenPipeError:
            break
        count += 1
    return count


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """Standard output for frames alone: what is printed meanwhile, by native code too, goes to
    standard error. `UsageError` if it is closed or a terminal."""
    if sys.__stdout__ is None:
        raise UsageError("The frames are for a player, and standard output is closed.", hint=_HINT)
    if sys.stdout.isatty():
        raise UsageError("The frames are for a player, and this is a terminal.", hint=_HINT)
    sys.stdout.flush()
    number = sys.stdout.fileno()
    kept = os.dup(number)
    try:
        os.dup2(2, number)
        # What nobody reads is no error, but closing would try to write it once more.
        with suppress(BrokenPipeError), os.fdopen(os.dup(kept), "wb") as stream:
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(kept, number)
        os.close(kept)


def _header(frame: Picture, fps: float) -> bytes:
    rate = Fraction(fps).limit_denominator(1001)
    height, width = frame.shape[:2]
    text = f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C444\n"
    return text.encode()


def _planes(frame: Picture) -> bytes:
    import cv2

    yuv = cv2.transform(frame, TO_YUV)
    return b"".join(plane.tobytes() for plane in cv2.split(yuv))
