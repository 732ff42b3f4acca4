"""The regions that the animator knows, in the order of its masks and motions.

Left and right are those of the *picture*, not of the character: they need no understanding of which
way someone faces, and a mirrored picture simply exchanges them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.skeleton import Bone, Skeleton

REGIONS = (
    "head",
    "torso",
    "upper arm, left",
    "upper arm, right",
    "forearm and hand, left",
    "forearm and hand, right",
    "leg, left",
    "leg, right",
    "eyes",
    "mouth",
)
COUNT = len(REGIONS)
MIRRORED = (0, 1, 3, 2, 5, 4, 7, 6, 8, 9)
"""`MIRRORED[k]` is the region that shows region `k` of the mirrored picture."""
TIPS = (4, 5, 8, 9)
"""Forearms with hands, eyes and mouth: where blur and ghosts show first."""
BACKGROUND = COUNT
"""The label of whatever belongs to no region, one past the last region."""
UNKNOWN = 255
"""The label of a pixel whose region nobody knows."""
MOTION_VALUES = 6
"""Centre x, y and the 2x2 affine a, b, c, d, row by row."""
MIN_DETERMINANT = 2e-4
"""Of the driving affine; masks give at least 1e-3 (see `nets.moments`), a transferred motion may
not."""
NEUTRAL_SCORE = 3.0
"""A region's score before anything is learned: it then wins over the background out to the edge of
an ellipse of its covariance, where the distance is 2."""

_END = -(3.0**0.5)
"""Where a limb's upper end is, in deviations: a stick's is its length by the root of twelve."""
SKELETON = Skeleton(
    bones=(
        Bone("torso", 1.7),  # the chin, between an ellipse's end and a stick's
        Bone(),
        Bone("torso", _END),
        Bone("torso", _END),
        Bone("upper arm, left", _END),
        Bone("upper arm, right", _END),
        Bone("torso", _END),
        Bone("torso", _END),
        Bone("head"),
        Bone("head"),
    ),
    absent=0.034,
)
"""How the regions hang together. What is absent has the least size that there is (see
`nets.moments`), 0.0316 in half pictures."""


def region_colours() -> NDArray[np.float32]:
    """A colour per region [K + 1, 3] in 0..1, evenly round the hue circle; black background."""
    hue = np.arange(COUNT) / COUNT * 6
    channels = [np.clip(np.abs((hue + shift) % 6 - 3) - 1, 0, 1) for shift in (0, 4, 2)]
    colours = np.stack(channels, axis=1).astype(np.float32)
    return np.vstack([colours, np.zeros((1, 3), np.float32)])
