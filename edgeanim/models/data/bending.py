"""Pictures bent and stretched as a whole: the same character with another build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_KNOTS = 4
"""A bend is smooth: random at this many knots a side."""
_HOME_ROUNDS = 20
"""The way back is found by iteration: each round takes a quarter of the error away, or more."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Bend:
    """`sources` float32 [H, W, 2]: where each pixel (x, y) of the bent picture comes from."""

    sources: NDArray[np.float32]

    def bent(self, picture: Picture, *, nearest: bool = False) -> Picture:
        """A picture, bent; beyond its edges it goes on as it ends. Labels take their `nearest`
        value."""
        import cv2

        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        bent: Picture = cv2.remap(picture, self.sources, None, how, borderMode=cv2.BORDER_REPLICATE)
        return bent

    def point(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the bent picture shows what lay at the pixel `place` (x, y)."""
        height, width = self.sources.shape[:2]
        limit = np.array([width - 1, height - 1])
        found = np.clip(place, 0, limit)
        for _ in range(_HOME_ROUNDS):
            found = np.clip(found + place - self._source(found), 0, limit)
        return found

    def _source(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        low = np.minimum(place.astype(int), np.array(self.sources.shape[1::-1]) - 2)
        (x, y), (u, v) = low, place - low
        corners = self.sources[y : y + 2, x : x + 2].astype(np.float64)
        source: NDArray[np.float64] = np.einsum(
            "i,j,ijk->k", np.array([1 - v, v]), np.array([1 - u, u]), corners
        )
        return source


def random_bend(
    rng: np.random.Generator, size: tuple[int, int], bend: float, stretch: float
) -> Bend:
    """A bend of pictures of `size` (width, height), about their middle.

    `bend` is the deviation of the shift at its knots, in pixels, `stretch` that of the logarithm of
    the scale along x and y; neither goes beyond twice that. No picture folds where `bend` is less
    than a fiftieth of its side.
    """
    import cv2

    knots = rng.normal(0, bend, (_KNOTS, _KNOTS, 2)).clip(-2 * bend, 2 * bend)
    smooth = cv2.resize(knots.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    scale = np.exp(rng.normal(0, stretch, 2).clip(-2 * stretch, 2 * stretch))
    x, y = (
        (np.arange(side) - (side - 1) / 2) * each + (side - 1) / 2
        for side, each in zip(size, scale, strict=True)
    )
    sources: NDArray[np.float32] = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32) + smooth
    return Bend(sources)
