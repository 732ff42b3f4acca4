"""How near a made frame is to the real one, where it matters: pictures float32 [3, h, w] in 0..1.

Whole-picture drift between two forms of one model is `benchmarks.drift`'s. Here a model is held
against reality: most of a picture never moves, and only the rest says anything.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Mask = NDArray[np.float32]

_C1, _C2 = 0.01**2, 0.03**2
_MOVES = 0.06
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11


@dataclass(frozen=True)
class Quality:
    """Means over frames. `moving` is SSIM inside the area that moves; `ssim`, `ms_ssim` and
    `psnr_db` are of whole pictures; `temporal` is the mean absolute error of the change since the
    frame before, inside the moving area, in levels of 0..255: flicker and lag both raise it."""

    moving: float
    ssim: float
    ms_ssim: float
    psnr_db: float
    temporal: float


@dataclass
class QualitySums:
    """What `Quality` is the mean of, frame by frame."""

    area: float = 0.0
    moving: float = 0.0
    frames: int = 0
    ssim: float = 0.0
    ms_ssim: float = 0.0
    squares: float = 0.0
    temporal: float = 0.0
    temporal_area: float = 0.0

    def add(self, made: Picture, real: Picture, area: Mask) -> None:
        """A made frame, and `area` [h, w]: 1 where the frame moves."""
        similarity, _ = ssim_maps(made, real)
        self.frames += 1
        self.area += float(area.sum())
        self.moving += float((similarity * area).sum())
        self.ssim += float(similarity.mean())
        self.ms_ssim += ms_ssim(made, real)
        self.squares += float(np.square(made - real).mean())

    def add_change(self, made: Picture, real: Picture, area: Mask) -> None:
        """Differences between a frame and the one before it, made and real."""
        self.temporal += float((np.abs(made - real).mean(0) * area).sum()) * 255
        self.temporal_area += float(area.sum())

    def __iadd__(self, other: QualitySums) -> QualitySums:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    def mean(self) -> Quality:
        frames = max(self.frames, 1)
        return Quality(
            self.moving / max(self.area, 1e-9),
            self.ssim / frames,
            self.ms_ssim / frames,
            float(-10 * np.log10(max(self.squares / frames, 1e-10))),
            self.temporal / max(self.temporal_area, 1e-9),
        )


def ssim_maps(a: Picture, b: Picture) -> tuple[Mask, Mask]:
    """SSIM and its contrast-structure factor at each pixel, each [h, w], channels averaged.

    Wang et al. 2004: 11x11 Gaussian, sigma 1.5, K 0.01 and 0.03, population covariance.
    """
    import cv2

    def blur(x: Picture) -> Picture:
        blurred: Picture = cv2.GaussianBlur(x, (_WINDOW, _WINDOW), 1.5)
        return blurred

    x, y = (np.ascontiguousarray(p.transpose(1, 2, 0)) for p in (a, b))
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    structure = (2 * cov + _C2) / (vx + vy + _C2)
    luminance = (2 * mx * my + _C1) / (mx * mx + my * my + _C1)
    return (luminance * structure).mean(-1), structure.mean(-1)


def ms_ssim(a: Picture, b: Picture) -> float:
    """Multi-scale SSIM (Wang, Simoncelli and Bovik 2003), negative factors cut off at 0.

    Pictures too small for five scales use as many as hold an 11x11 window, weights rescaled.
    """
    import cv2

    count = len(_SCALES)
    while count > 1 and min(a.shape[1:]) >> (count - 1) < _WINDOW:
        count -= 1
    weights = np.array(_SCALES[:count]) / sum(_SCALES[:count])
    result = 1.0
    for scale, weight in enumerate(weights):
        similarity, structure = ssim_maps(a, b)
        factor = similarity if scale == count - 1 else structure
        result *= max(float(factor.mean()), 0.0) ** weight
        a, b = (
            np.stack([cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in x])
            for x in (a, b)
        )
    return result


def moving_area(one: Picture, other: Picture) -> Mask:
    """1 where two pictures differ, grown by the radius of the SSIM window: [h, w]."""
    import cv2

    change = (np.abs(one - other).max(0) > _MOVES).astype(np.uint8)
    change = cv2.morphologyEx(change, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    grown = cv2.dilate(change, np.ones((_WINDOW, _WINDOW), np.uint8))
    return np.asarray(grown, np.float32)


def gradient_energy(picture: Picture, area: Mask) -> float:
    """Sum over `area` of the luma's gradient magnitude: what blur takes away."""
    import cv2

    luma = picture.mean(0)
    dx, dy = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    return float((np.hypot(dx, dy) * area).sum())
