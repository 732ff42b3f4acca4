"""The boxes of an MP4 or MOV file, one behind and within the other (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MOST = 1000  # a stranger's file may hold millions of empty ones


@dataclass(frozen=True)
class Box:
    """Where in the file a box begins, its contents begin, and both end."""

    start: int
    contents: int
    stop: int


def boxes(stream: BinaryIO, kind: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes of this kind among those from `start` to `end`, in order."""
    for _ in range(_MOST):
        stream.seek(start)
        head = stream.read(16)
        if start + 8 > end or len(head) < 8:
            return
        size, found, long = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:  # what is longer than 32 bits can say
            size, long = int.from_bytes(head[8:], "big"), 16
        stop = min(end, start + size) if size else end
        if found == kind:
            yield Box(start, start + long, stop)
        if stop < start + long:
            return
        start = stop
