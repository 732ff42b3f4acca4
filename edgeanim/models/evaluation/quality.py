"""How near a made frame is to the real one, where it matters: pictures float32 [3, h, w] in 0..1.

Whole-picture drift between two forms of one model is `benchmarks.drift.frames`'s. Here a model
is held against reality: most of a picture never moves, and only the rest says anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeanim.core.ssim import WINDOW
from edgeanim.models.evaluation.similarity import Mask, Picture, Reference

_MOVES = 0.06


@dataclass(frozen=True)
class Truth:
    """A real frame beside the still: `moving` [h, w] is 1 where they differ (see `moving_area`),
    `disoccluded` where what the still shows has gone, so that what is seen of it is a ghost."""

    real: Reference
    still: Picture
    moving: Mask
    disoccluded: Mask


@dataclass(frozen=True)
class Quality:
    """Means over frames. `moving` is SSIM inside the area that moves; `ssim`, `ms_ssim` and
    `psnr_db` are of whole pictures; `temporal` is the mean absolute error of the change since the
    frame before, inside the moving area, in levels of 0..255: flicker and lag both raise it. Both
    are `None` if nothing moves.

    `ghosts` is the opacity at which the still's content shows through where it has gone, `None` if
    none has: with still S, real frame R and made frame M, the least-squares g of
    M = R + g (S - R) + rest over all pixels and channels of that area,
    g = sum (M - R)(S - R) / sum (S - R)^2. It is 0 for the real frame, 1 for the still repeated,
    exactly g for a blend g S + (1 - g) R, and near 0 for errors that have nothing to do with S.

    `tint` is how far the mean colour of that same area is off, in levels of 0..255, a mean over the
    channels. A halo on a flat backdrop counts here: as no error towards S it is no ghost, and SSIM
    hardly minds.
    """

    moving: float | None
    ssim: float
    ms_ssim: float
    psnr_db: float
    temporal: float | None
    ghosts: float | None
    tint: float | None


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
    ghosts: float = 0.0
    gone: float = 0.0
    tint: float = 0.0
    disoccluded: float = 0.0

    def add(self, made: Picture, truth: Truth) -> Mask:
        """A made frame; returns its SSIM at each pixel [h, w]."""
        found = truth.real.compare(made)
        error = made - truth.real.picture
        self.frames += 1
        self.area += float(truth.moving.sum())
        self.moving += float((found.ssim * truth.moving).sum())
        self.ssim += float(found.ssim.mean())
        self.ms_ssim += found.ms_ssim
        self.squares += float(np.square(error).mean())
        gone = (truth.still - truth.real.picture) * truth.disoccluded
        self.ghosts += float((error * gone).sum())
        self.gone += float(np.square(gone).sum())
        self.tint += float(np.abs((error * truth.disoccluded).sum((1, 2))).mean()) * 255
        self.disoccluded += float(truth.disoccluded.sum())
        return found.ssim

    def add_change(self, made: Picture, real: Picture, area: Mask) -> None:
        """Differences between a frame and the one before it, made and real."""
        self.temporal += float((np.abs(made - real).mean(0) * area).sum()) * 255
        self.temporal_area += float(area.sum())

    def mean(self) -> Quality:
        frames = max(self.frames, 1)
        return Quality(
            self.moving / self.area if self.area else None,
            self.ssim / frames,
            self.ms_ssim / frames,
            float(-10 * np.log10(max(self.squares / frames, 1e-10))),
            self.temporal / self.temporal_area if self.temporal_area else None,
            self.ghosts / self.gone if self.gone else None,
            self.tint / self.disoccluded if self.disoccluded else None,
        )


def moving_area(one: Picture, other: Picture) -> Mask:
    """1 where two pictures differ, grown by the radius of the SSIM window: [h, w]."""
    import cv2

    change = (np.abs(one - other).max(0) > _MOVES).astype(np.uint8)
    change = cv2.morphologyEx(change, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    grown = cv2.dilate(change, np.ones((WINDOW, WINDOW), np.uint8))
    return np.asarray(grown, np.float32)


def gradient_energy(picture: Picture, area: Mask) -> float:
    """Sum over `area` of the luma's gradient magnitude: what blur takes away."""
    import cv2

    luma = picture.mean(0)
    dx, dy = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    return float((np.hypot(dx, dy) * area).sum())
