"""Smoothing of the motion that is found in a driver: each frame is read anew, so regions tremble.

Every number x of a motion becomes (x[t-1] + 2 x[t] + x[t+1]) / 4: the binomial filter, known as
hanning (Blackman and Tukey, "The Measurement of Power Spectra", 1958). It is symmetric, so what
moves is not late, and passes a steady motion unchanged; a tremble from frame to frame is taken out.
It looks one frame ahead and holds three motions, however long the driver is.

The one-euro filter (Casiez, Roussel and Vogel, CHI 2012), which looks at no later frame, was tried
beside it: it took out as much, but where hands move fast its lag cost more than the tremble did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edgeanim.core.artifact import Array


def smoothed(motions: Iterable[Array]) -> Iterator[Array]:
    """`motions` (float32, of one shape) smoothed, as many as there are, each one frame after it
    came in. The first and the last stay as they are: the first is the pose to which a relative
    motion refers. The arrays are kept, so a session's own memory must be copied before."""
    before: Array | None = None
    now: Array | None = None
    for after in motions:
        if now is not None:
            yield now if before is None else _mean(before, now, after)
            before = now
        now = after
    if now is not None:
        yield now


def _mean(before: Array, now: Array, after: Array) -> Array:
    mean: Array = before * np.float32(0.25) + now * np.float32(0.5) + after * np.float32(0.25)
    return mean
