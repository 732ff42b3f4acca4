"""Structural similarity of made frames to a real one: pictures float32 [3, h, w] in 0..1.

SSIM by Wang et al. 2004 (population covariance), MS-SSIM by Wang, Simoncelli and Bovik 2003, with
the constants of `core.ssim`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.ssim import K1, K2, SCALES, SIGMA, WINDOW

Picture = NDArray[np.float32]
Mask = NDArray[np.float32]

_C1, _C2 = K1**2, K2**2


def to_picture(frame: NDArray[np.uint8]) -> Picture:
    """A frame uint8 [h, w, 3] as a picture."""
    planes: Picture = np.ascontiguousarray(frame.transpose(2, 0, 1)).astype(np.float32)
    planes /= 255
    return planes


class Similarity(NamedTuple):
    """`ssim` at each pixel [h, w], channels averaged, and `ms_ssim` of the whole picture."""

    ssim: Mask
    ms_ssim: float


class _Scale(NamedTuple):
    picture: Picture
    mean: Picture
    variance: Picture


class Reference:
    """A real frame, with what each comparison with it needs worked out once."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._scales = [_scale(picture)]
        for _ in range(_count(picture) - 1):
            self._scales.append(_scale(_halved(self._scales[-1].picture)))

    def compare(self, made: Picture) -> Similarity:
        """Pictures too small for five scales use as many as hold a window, weights rescaled;
        negative factors of MS-SSIM are cut off at 0."""
        first: Mask | None = None
        product = 1.0
        weights = np.array(SCALES[: len(self._scales)])
        for index, (scale, weight) in enumerate(
            zip(self._scales, weights / weights.sum(), strict=True)
        ):
            made = made if index == 0 else _halved(made)
            luminance, structure = _factors(scale, made)
            if first is None:
                first = (luminance * structure).mean(0)
            last = index == len(self._scales) - 1
            factor = luminance * structure if last else structure
            product *= max(float(factor.mean()), 0.0) ** weight
        assert first is not None  # a picture has at least one scale
        return Similarity(first, product)


def _count(picture: Picture) -> int:
    count = len(SCALES)
    while count > 1 and min(picture.shape[1:]) >> (count - 1) < WINDOW:
        count -= 1
    return count


def _scale(picture: Picture) -> _Scale:
    mean = _blur(picture)
    return _Scale(picture, mean, _blur(picture * picture) - mean * mean)


def _factors(real: _Scale, made: Picture) -> tuple[Picture, Picture]:
    """SSIM's luminance and contrast-structure factors [3, h, w]."""
    mean = _blur(made)
    variance = _blur(made * made) - mean * mean
    product = mean * real.mean
    covariance = _blur(made * real.picture) - product
    structure = (2 * covariance + _C2) / (variance + real.variance + _C2)
    luminance = (2 * product + _C1) / (mean * mean + real.mean * real.mean + _C1)
    return luminance.astype(np.float32, copy=False), structure.astype(np.float32, copy=False)


def _blur(planes: Picture) -> Picture:
    import cv2

    blurred = np.empty_like(planes)
    for plane, out in zip(planes, blurred, strict=True):
        cv2.GaussianBlur(plane, (WINDOW, WINDOW), SIGMA, dst=out)
    return blurred


def _halved(planes: Picture) -> Picture:
    import cv2

    halves = [cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in planes]
    return np.stack(halves)
