"""What every writer of animations asks: what has changed, and how long a frame is shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from edgeanim.core.errors import UsageError
from edgeanim.runtime.scene import Picture

PNG_LEVEL = 4
"""Of zlib's nine: half the time of 6, which is Pillow's own, and a twentieth more space."""


def changed(frame: Picture, before: Picture | None) -> tuple[slice, slice]:
    """The smallest rectangle (rows, columns) that holds every pixel that differs; one pixel if none
    does, and the whole without a frame before."""
    if before is None:
        return slice(0, frame.shape[0]), slice(0, frame.shape[1])
    differs = (frame != before).any(axis=2)
    edges = []
    for axis in (1, 0):
        where = np.flatnonzero(differs.any(axis=axis))
        edges.append(slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 1))
    return edges[0], edges[1]


def delays(fps: float, ticks: int, *, least: int = 1) -> Iterator[int]:
    """How long to show each frame, in `ticks` of a second: rounded so that they add up over
    time."""
    shown = 0
    for number in itertools.count(1):
        delay = max(least, round(number * ticks / fps) - shown)
        shown += delay
        yield delay


def too_large(what: str, most: int) -> UsageError:
    """A frame has a side of more than the `most` pixels that `what` can have."""
    return UsageError(
        f"{what} is at most {most} pixels wide and high.",
        hint="Write a .png or a folder of frames, or give smaller pictures.",
    )
