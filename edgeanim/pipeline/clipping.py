"""Frames that look clipped: what a net paints of other values than its contract says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeanim.runtime.golden import Golden

_CLIPPED = 0.25
"""A share of all values, beyond that in the pictures shown, by which frames look clipped."""


def clipped_share(golden: Golden) -> float | None:
    """How much of the golden frames lies at the ends of the value range, if that is so much more
    than of the pictures shown that they look clipped: drift is not seen there."""
    scene = golden.scene
    seen = scene.driver if scene.still is None else scene.still
    share = _at_the_ends(golden.frames)
    of_seen = 0.0 if seen is None else _at_the_ends(np.asarray(seen))
    return share if share - of_seen >= _CLIPPED else None


def _at_the_ends(pictures: NDArray[np.uint8]) -> float:
    return float(((pictures == 0) | (pictures == 255)).mean())
