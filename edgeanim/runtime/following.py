"""What is seen of a driver from moment to moment, and the motion found in it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edgeanim.core.artifact import Array
from edgeanim.runtime.execution import Moment, Shown, Timings
from edgeanim.runtime.scene import BadDriver, Picture, check_picture
from edgeanim.runtime.smoothing import smoothed

NEEDS_TWO_FRAMES = (
    "Motion needs at least two. The cells of a sprite sheet become frames with "
    "`edgeanim dataset import SHEET --cell WIDTHxHEIGHT -o DATASET`."
)


class Step(NamedTuple):
    """A moment, the driver's motion [1, K, 6] then, and the seconds of its frame."""

    moment: Moment
    motion: Array | None
    timings: Timings


def smoothed_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps, each of which has a motion, with that smoothed; one step is held back."""
    held: deque[Step] = deque()  # not `itertools.tee`, which lets go of 57 at a time

    def motions() -> Iterator[Array]:
        for step in steps:
            if step.motion is not None:
                held.append(step)
                yield step.motion

    return (held.popleft()._replace(motion=motion) for motion in smoothed(motions()))


def shown_frames(driver: Iterable[Picture], *, at_least: int) -> Iterator[Shown]:
    """The driver's frames, each with the one before it; `BadInput` if there are too few."""
    frames = iter(driver)
    head = list(itertools.islice(frames, at_least))
    if len(head) < at_least:
        said = "The driver has no frames." if not head else "The driver is a clip of one frame."
        raise BadDriver(said, hint=NEEDS_TWO_FRAMES if head else None)
    before: Shown | None = None
    for number, picture in enumerate(itertools.chain(head, frames)):
        check_picture(picture, f"frame {number} of the driver")
        shown = Shown(picture, before, refused=BadDriver)
        if before is not None:
            if shown.size != before.size:
                raise BadDriver(
                    f"Frame {number} of the driver has {shown.size[1]}x{shown.size[0]} pixels, "
                    f"the one before it {before.size[1]}x{before.size[0]}."
                )
            before.forget_before()
        yield shown
        before = shown
