"""Motions of any regions, and of a body whose limbs hang on each other."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.skeleton import Bone, Skeleton, to_motion

_number = st.floats(-1, 1, width=32)
_K = 4


@st.composite
def motions(draw: st.DrawFn) -> np.ndarray:
    """[K, 6] with affines that have an inverse."""
    centres = draw(hnp.arrays(np.float32, (_K, 2), elements=_number))
    scales = draw(hnp.arrays(np.float32, (_K, 2), elements=st.floats(0.125, 1, width=32)))
    angles = draw(hnp.arrays(np.float32, (_K,), elements=st.floats(-3, 3, width=32)))
    cos, sin = np.cos(angles), np.sin(angles)
    affine = np.stack(
        [cos * scales[:, 0], -sin * scales[:, 1], sin * scales[:, 0], cos * scales[:, 1]], 1
    )
    return np.concatenate([centres, affine], 1).astype(np.float32)


END = 3.0**0.5
NAMES = ("torso", "arm", "hand", "head")
BODY = Skeleton((Bone(), Bone("torso", -END), Bone("arm", -END), Bone("torso", END)), absent=0.01)
JOINTS = BODY.named(NAMES)
TORSO, ARM, HAND, HEAD = range(4)
GONE = [0, 0, 0.005, 0, 0, 0.005]
"""A region that is too small to be there."""


def body(lengths, angles, at=0.1 + 0.2j, shoulder=0.1 - 0.3j, neck=-0.4j) -> np.ndarray:
    """A jointed body as a motion [4, 6]: sticks of these lengths that point at these angles from
    straight down, the arm hanging from the torso's shoulder, the hand from the arm's end."""
    turns = np.exp(-1j * np.asarray(angles))
    along = 1j * turns * np.asarray(lengths) / np.sqrt(12)
    across = turns * 0.05
    centres = np.empty(4, complex)
    centres[TORSO] = at
    centres[ARM] = at + turns[TORSO] * shoulder + END * along[ARM]
    centres[HAND] = centres[ARM] + END * (along[ARM] + along[HAND])
    centres[HEAD] = at + turns[TORSO] * neck - END * along[HEAD]
    planes = zip(centres, across, along, strict=True)
    return to_motion(list(planes), np.stack).astype(np.float32)


LENGTHS = hnp.arrays(np.float64, 4, elements=st.floats(0.2, 0.6))
ANGLES = hnp.arrays(np.float64, 4, elements=st.floats(-3, 3))
