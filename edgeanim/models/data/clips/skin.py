"""The colour of somebody's skin, learned from their own face: one range for all skins, in all
lights, would miss most of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]
Values = NDArray[np.float32]

_LIKE_FACE = 9.0
"""Squared Mahalanobis distance of a colour from the face's within which it is surely skin."""
_FAR = 25.0
"""From the median of a face's colours: brows, shade and strands of hair, which are no skin."""
_NOISE = 4.0
"""Added to the variances: however even a face is, a hand is not."""


@dataclass(frozen=True)
class Skin:
    """Mean [3] and inverse covariance [3, 3] of a face's colours, as `lab` has them."""

    mean: Values
    precision: Values

    @classmethod
    def of(cls, values: Values) -> Skin:
        """The skin of a face with these colours [N, 3] of `lab`, of which most are skin."""
        near = np.abs(values - np.median(values, axis=0)).max(1) < _FAR
        values = values[near]
        covariance = np.cov(values.T) + np.diag([_NOISE] * 3)
        mean = values.mean(0).astype(np.float32)
        return cls(mean, np.linalg.inv(covariance).astype(np.float32))

    def shown(self, picture: Picture, within: float = _LIKE_FACE) -> Mask:
        """Where a picture uint8 [S, S, 3] has the face's colour, `within` a squared Mahalanobis
        distance, specks removed: [S, S]."""
        import cv2

        off = lab(picture) - self.mean
        near = np.einsum("hwi,ij,hwj->hw", off, self.precision, off) < within
        opened = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        found: Mask = closed > 0
        return found


def lab(picture: Picture) -> Values:
    """A picture uint8 [S, S, 3] in Lab, lightness counted a third, since light varies."""
    import cv2

    values: Values = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    values[..., 0] /= 3
    return values
