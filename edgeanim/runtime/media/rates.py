"""How fast clips are, and their frames at a steady rate.

A clip whose frames come evenly is as fast as it says. Others have a time for each frame (a GIF that
pauses, a webcam's recording): these get the rate at which their faster frames come, and what is
shown for longer is repeated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import TypeVar

from edgeanim.core.errors import DeviceFailed
from edgeanim.runtime.media.reading import read_frames, stated_times, timed_frames
from edgeanim.runtime.motion import MAX_FPS
from edgeanim.runtime.scene import Picture

T = TypeVar("T")

DEFAULT_FPS = 25.0
# Containers round times to milliseconds: so much may they be off what is stated.
_ROUNDED = 0.05
# A stranger's file may hold a frame for hours; repeated, it would fill the disk.
_LONGEST_MS = 10_000.0
# Frames are late by this share of them, if nothing was ready for that share of the time.
_LATE, _WAITING = 0.1, 0.2


def probe_fps(path: str | Path) -> float:
    """Frames per second; 25 for what has no rate of its own."""
    return own_fps(path) or DEFAULT_FPS


def own_fps(path: str | Path) -> float | None:
    """Frames per second: as the file states them if its frames come so, else as its faster frames
    come. `None` for what has no rate of its own (pictures, folders, cameras, files without)."""
    stated, times = stated_times(path)
    told = [time for time in times if time > 0]
    for fps in (stated, _mean_fps(told)):
        if fps is not None and fps <= MAX_FPS and (not told or _even(told, fps)):
            return fps
    if not told:
        return None
    quick = 1000 / sorted(told)[len(told) // 4]
    if stated is not None and abs(quick / stated - 1) < _ROUNDED:
        return stated
    return quick if quick <= MAX_FPS else None


def steady_frames(
    path: str | Path, fps: float | None = None, *, most: float = math.inf
) -> tuple[Iterator[Picture], float]:
    """The frames of `path` at a steady rate, and that rate: `fps`, or its own as far as `most`
    allows, a whole fraction of it beyond. What has no rate is read frame by frame, at `fps` or
    25."""
    own = _shown_fps(path)
    rate = fps or within(own or DEFAULT_FPS, most)
    if own is None:
        return read_frames(path), rate
    return at_rate(timed_frames(path), own, rate), rate


def steady_numbers(
    path: str | Path, fps: float | None = None, *, most: float = math.inf
) -> tuple[list[int], int]:
    """Which frames of the clip or folder `path`, counted from 0, `steady_frames` gives, and how
    many it has in all. Reads it once."""
    times = [time for _, time in timed_frames(path)]
    own = _shown_fps(path)
    if own is None:
        return list(range(len(times))), len(times)
    return list(at_rate(enumerate(times), own, fps or within(own, most))), len(times)


def within(fps: float, most: float) -> float:
    """`fps` if it is at most `most`, else the largest whole fraction of it that is."""
    return fps / max(1, math.ceil(fps / most - 1e-9))


def at_rate(frames: Iterable[tuple[T, float]], own: float, fps: float) -> Iterator[T]:
    """`frames`, each with its milliseconds, at `fps`: for each moment the nearest one. Of those
    that do not say how long they are shown, `own` are a second."""
    shown, end = 0, 0.0
    for frame, time in frames:
        end += min(time if time > 0 else 1000 / own, _LONGEST_MS)
        while 1000 * (shown / fps + 0.5 / own) < end - 1e-6:
            yield frame
            shown += 1


def as_they_come(
    frames: Iterable[T], fps: float, now: Callable[[], float] = monotonic
) -> Iterator[T]:
    """`frames` that arrive when they can, or what was made of them, a camera's say, at `fps` of the
    time that passes. Each is given at once, as often as it takes to fill the time since the one
    before, or left out if that was less than a frame's. `now` tells seconds. Work on frames belongs
    before this, or repeats would cost it.

    While repeats are written nothing arrives, and the next frame has to fill that time, too. Where
    they take longer than half the time that they show, the rest of it does not count, or each frame
    would stand still for longer than the one before; what is written is shorter then than what was
    seen."""
    began, shown = None, 0
    for frame in frames:
        moment = now()
        began = moment if began is None else began
        count = math.floor((moment - began) * fps) + 1 - shown
        if count < 1:
            continue
        yield frame
        written = now()
        yield from itertools.repeat(frame, count - 1)
        began += max(0.0, now() - written - (count - 1) / fps / 2)
        shown += count


class Paced(Iterator[T]):
    """`frames` for a player that shows them as they come, and whether they come in time. `now`
    tells seconds."""

    def __init__(self, frames: Iterator[T], now: Callable[[], float] = monotonic) -> None:
        self._frames, self._now = frames, now
        self._first = self._last = now()
        self._count, self._waited = 0, 0.0

    def __next__(self) -> T:
        asked = self._now()
        frame = next(self._frames)
        self._last = self._now()
        if self._count:
            self._waited += self._last - asked
        else:  # what is done once, before it, is left aside
            self._first = self._last
        self._count += 1
        return frame

    def is_behind(self, fps: float) -> bool:
        """Whether there were fewer than `fps` a second, by more than a tenth, because they were
        waited for: a player that takes its time, or was paused, finds the next one ready."""
        passed = self._last - self._first
        late = self._count - 1 < (1 - _LATE) * fps * passed
        return passed >= 1 and late and self._waited > _WAITING * passed


class UntilItFails(Iterator[T]):
    """What a device gives until it fails, which is no reason to lose that: its `failure` is kept
    for afterwards. A device that has given nothing fails at once."""

    def __init__(self, given: Iterator[T]) -> None:
        self.failure: DeviceFailed | None = None
        self._given, self._count = given, 0

    def __next__(self) -> T:
        try:
            item = next(self._given)
        except DeviceFailed as error:
            if not self._count:
                raise
            self.failure = error
            raise StopIteration from error
        self._count += 1
        return item

    def tell(self, kept_in: object) -> None:
        """`DeviceFailed`, if it failed, says where what was given until then is kept."""
        if self.failure is not None:
            told, where = self.failure.what, self.failure.where
            hint = f"What was made until then is in {kept_in}."
            raise DeviceFailed(told, where=where, hint=hint) from self.failure


def _shown_fps(path: str | Path) -> float | None:
    """Its own rate, unless frames are shown for so long that `at_rate` shortens them: at a slower
    one some would be left out."""
    own = own_fps(path)
    return None if own is None else max(own, 1000 / _LONGEST_MS)


def _mean_fps(times: Sequence[float]) -> float | None:
    return 1000 * len(times) / sum(times) if times else None


def _even(times: Sequence[float], fps: float) -> bool:
    """Whether frames with these times keep within half a frame of `fps` a second."""
    ends = itertools.accumulate(times)
    return all(abs(end * fps / 1000 - count) <= 0.5 for count, end in enumerate(ends, 1))
