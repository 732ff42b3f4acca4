"""The baseline that an animator has to beat: the still warped by its regions' motion alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.pairs import MASK_STRIDE
from edgeanim.models.evaluation.similarity import Picture
from edgeanim.models.regions import MIN_DETERMINANT, NEUTRAL_SCORE


def affine_warp(still: Picture, own: NDArray[Any], driving: NDArray[Any]) -> Picture:
    """The still float32 [3, h, w], each region moved as its motion says, from `own` to `driving`
    [K, 6], on a grid of a quarter of its size."""
    import cv2

    height, width = still.shape[1:]
    flow = affine_flow(own, driving, height // MASK_STRIDE, width // MASK_STRIDE)
    x, y = cv2.split(cv2.resize(flow, (width, height)))
    how = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
    planes = np.ascontiguousarray(still.transpose(1, 2, 0))
    warped = cv2.remap(
        planes, x * (width / 2), y * (height / 2), how, borderMode=cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(warped.transpose(2, 0, 1))


def affine_flow(
    own: NDArray[Any], driving: NDArray[Any], height: int, width: int
) -> NDArray[np.float32]:
    """The flow [h, w, 2], from each driving pixel to its place in the still, in half pictures.

    A region's is c_s + A_s A_d^-1 (z - c_d) - z (Siarohin et al., "Motion Representations for
    Articulated Animation", CVPR 2021). They are weighed as the generator weighs them before it has
    learned anything: exp(`NEUTRAL_SCORE` - half the squared Mahalanobis distance from the driving
    region), the background by 1.
    """
    own, driving = own.astype(np.float64), driving.astype(np.float64)
    y, x = np.mgrid[:height, :width]
    place = np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], axis=-1)
    a, b, c, d = driving[:, 2:].T
    determinant = np.maximum(a * d - b * c, MIN_DETERMINANT)
    inverse = np.stack([d, -b, -c, a], axis=-1) / determinant[:, None]
    off = place - driving[:, None, None, :2]  # [K, h, w, 2]
    inside = np.einsum("kij,khwj->khwi", inverse.reshape(-1, 2, 2), off)
    moved = np.einsum("kij,khwj->khwi", own[:, 2:].reshape(-1, 2, 2), inside)
    flows = own[:, None, None, :2] + moved - place
    weights = np.exp(NEUTRAL_SCORE - np.square(inside).sum(-1) / 2)[..., None]
    flow: NDArray[Any] = (flows * weights).sum(0) / (weights.sum(0) + 1)
    return flow.astype(np.float32)
