"""Similarity of two pictures: SSIM and MS-SSIM.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli (2004) with the constants of `core.ssim`:
population covariance, a fixed data range, averaged over the positions where the whole window lies
inside the picture, then over the channels. MS-SSIM is that of Wang, Simoncelli and Bovik (2003):
contrast and structure at five scales, luminance at the coarsest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.core.ssim import K1, K2, SCALES, SIGMA, WINDOW

SMALLEST_MS_SSIM = WINDOW << (len(SCALES) - 1)
"""The shorter edge that MS-SSIM needs: the window must fit at the coarsest scale."""
_LEVELS = 255.0
_RADIUS = WINDOW // 2

Floats = NDArray[np.float64]


def ssim(a: NDArray[np.generic], b: NDArray[np.generic], *, data_range: float = _LEVELS) -> float:
    """SSIM of two pictures [H, W] or [H, W, C] of equal shape; `data_range` is the span of the
    values that the format can hold, never that of the pictures at hand."""
    pairs = _plane_pairs(a, b)
    values = [luminance * structure for luminance, structure in _maps(pairs, data_range)]
    return float(np.mean([value.mean() for value in values]))


def similarity_map(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Floats:
    """SSIM of every position where the whole window lies inside two pictures [H, W, C], averaged
    over the channels: [H - 10, W - 10]. Its mean is `ssim`."""
    maps = _maps(_plane_pairs(a, b), _LEVELS)
    values: Floats = np.mean([luminance * structure for luminance, structure in maps], axis=0)
    return values


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float, float | None]:
    """SSIM and MS-SSIM of two pictures [H, W] or [H, W, C], which share the finest scale.

    MS-SSIM is `None` where the shorter edge is below 176 pixels. Structure that is reversed
    (negative) at a scale counts as none.
    """
    pairs = _plane_pairs(a, b)
    deep = min(a.shape[:2]) >= SMALLEST_MS_SSIM
    whole = 0.0
    products = np.ones(len(pairs))
    for scale, exponent in enumerate(SCALES if deep else SCALES[:1]):
        last = scale == len(SCALES) - 1
        for channel, (luminance, structure) in enumerate(_maps(pairs, _LEVELS)):
            full = float((luminance * structure).mean())
            if scale == 0:
                whole += full / len(pairs)
            value = full if last else float(structure.mean())
            products[channel] *= max(value, 0.0) ** exponent
        pairs = [(_halved(x), _halved(y)) for x, y in pairs]
    return whole, float(products.mean()) if deep else None


def psnr(mean_squared_error: float) -> float | None:
    """Peak signal-to-noise ratio in dB of pictures in levels of 0..255; `None` (infinite) without
    any error."""
    if mean_squared_error == 0:
        return None
    return 10 * math.log10(_LEVELS**2 / mean_squared_error)


def must_hold_window(picture: NDArray[np.generic]) -> None:
    """`BadInput` for a picture [H, W, ...] that is smaller than the window of SSIM."""
    if min(picture.shape[:2]) < WINDOW:
        raise BadInput(
            f"SSIM needs pictures of at least {WINDOW}x{WINDOW} pixels, and these have "
            f"{picture.shape[1]}x{picture.shape[0]}.",
            hint="Drift is measured by it: export or compile the model for larger pictures.",
        )


def _plane_pairs(a: NDArray[np.generic], b: NDArray[np.generic]) -> list[tuple[Floats, Floats]]:
    if a.shape != b.shape or a.ndim not in (2, 3):
        raise BadInput(f"Pictures of {list(a.shape)} and {list(b.shape)} cannot be compared.")
    must_hold_window(a)
    return list(zip(_planes(a), _planes(b), strict=True))


def _maps(pairs: list[tuple[Floats, Floats]], data_range: float) -> list[tuple[Floats, Floats]]:
    """For each channel, the maps of luminance and of contrast times structure."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    found = []
    for x, y in pairs:
        mean_x, mean_y = _smooth(x), _smooth(y)
        var_x = _smooth(x * x) - mean_x**2
        var_y = _smooth(y * y) - mean_y**2
        cov = _smooth(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        found.append((luminance, (2 * cov + c2) / (var_x + var_y + c2)))
    return found


def _smooth(plane: Floats) -> Floats:
    """The Gaussian window's weighted mean wherever the window fits: [H - 10, W - 10]."""
    import cv2

    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    kernel /= kernel.sum()
    blurred: Floats = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return blurred[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _halved(plane: Floats) -> Floats:
    """The means of 2x2 pixels; an odd last row or column is left out."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    blocks: Floats = plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
    return blocks


def _planes(picture: NDArray[np.generic]) -> list[Floats]:
    planes = picture[..., None] if picture.ndim == 2 else picture
    return [np.ascontiguousarray(planes[..., c], dtype=np.float64) for c in range(planes.shape[2])]
