"""Drift: how far a variant's frames are from those of the float32 original.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli (2004): 11x11 Gaussian window with sigma 1.5,
K1 = 0.01, K2 = 0.03, population covariance, a fixed data range, averaged over the positions where
the whole window lies inside the picture, then over the channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput

WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_RADIUS = WINDOW // 2

Frames = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """A variant's frames against the reference's.

    `ssim_*` are similarities (1 is identical); `drift_mean` is `1 - ssim_mean`. `worst_frame` is
    the index of the frame that `ssim_worst` belongs to. `psnr_db` is that of the squared error
    over all frames, `None` if every frame is identical. `brightness_bias` and `temporal_l1` are in
    levels of 0..255. The temporal figures compare the differences between successive frames, so
    they show flicker; `None` for a single frame. `ssim` has every frame.
    """

    frames: int
    ssim_mean: float
    ssim_p5: float
    ssim_worst: float
    worst_frame: int
    drift_mean: float
    psnr_db: float | None
    brightness_bias: float
    temporal_ssim: float | None
    temporal_l1: float | None
    ssim: tuple[float, ...]


def ssim(a: NDArray[np.generic], b: NDArray[np.generic], *, data_range: float = 255.0) -> float:
    """SSIM of two pictures [H, W] or [H, W, C] of equal shape; `data_range` is the span of the
    values that the format can hold, never that of the pictures at hand."""
    if a.shape != b.shape or a.ndim not in (2, 3):
        raise BadInput(f"Pictures of {list(a.shape)} and {list(b.shape)} cannot be compared.")
    if min(a.shape[:2]) < WINDOW:
        raise BadInput(f"SSIM needs pictures of at least {WINDOW}x{WINDOW} pixels.")
    x, y = _planes(a), _planes(b)
    values = [_ssim_plane(p, q, data_range) for p, q in zip(x, y, strict=True)]
    return float(np.mean(values))


def psnr(mean_squared_error: float, *, data_range: float = 255.0) -> float | None:
    """Peak signal-to-noise ratio in dB; `None` (infinite) without any error."""
    if mean_squared_error == 0:
        return None
    return 10 * math.log10(data_range**2 / mean_squared_error)


def measure_drift(frames: Frames, reference: Frames) -> Drift:
    """Compare two sequences of pictures, uint8 [T, H, W, C], frame by frame."""
    if frames.shape != reference.shape or frames.ndim != 4:
        raise BadInput(
            f"The variant gave frames of {list(frames.shape)}, "
            f"the reference has {list(reference.shape)}.",
            hint="Both must play the same scene at the same size.",
        )
    if not len(frames):
        raise BadInput("There is no frame to compare.")
    similarity = [ssim(a, b) for a, b in zip(frames, reference, strict=True)]
    temporal_ssim, temporal_l1 = _temporal(frames, reference)
    mean = float(np.mean(similarity))
    return Drift(
        frames=len(similarity),
        ssim_mean=mean,
        ssim_p5=float(np.percentile(similarity, 5)),
        ssim_worst=min(similarity),
        worst_frame=int(np.argmin(similarity)),
        drift_mean=1 - mean,
        psnr_db=psnr(_mean([_squared_error(a, b) for a, b in _pairs(frames, reference)])),
        brightness_bias=_mean([float(a.mean() - b.mean()) for a, b in _pairs(frames, reference)]),
        temporal_ssim=temporal_ssim,
        temporal_l1=temporal_l1,
        ssim=tuple(similarity),
    )


def _temporal(frames: Frames, reference: Frames) -> tuple[float | None, float | None]:
    """SSIM (data range 510, that of a difference) and mean absolute error of the differences
    between successive frames, averaged over time."""
    if len(frames) < 2:
        return None, None
    similarities, errors = [], []
    for t in range(1, len(frames)):
        ours = frames[t].astype(np.int16) - frames[t - 1]
        theirs = reference[t].astype(np.int16) - reference[t - 1]
        similarities.append(ssim(ours, theirs, data_range=510.0))
        errors.append(float(np.abs(ours - theirs).mean()))
    return _mean(similarities), _mean(errors)


def _ssim_plane(x: Floats, y: Floats, data_range: float) -> float:
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x = _smooth(x * x) - mean_x**2
    var_y = _smooth(y * y) - mean_y**2
    cov = _smooth(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    score = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(score.mean())


def _smooth(plane: Floats) -> Floats:
    """The Gaussian window's weighted mean wherever the window fits: [H - 10, W - 10]."""
    import cv2

    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    kernel /= kernel.sum()
    blurred: Floats = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return blurred[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _planes(picture: NDArray[np.generic]) -> list[Floats]:
    planes = picture[..., None] if picture.ndim == 2 else picture
    return [np.ascontiguousarray(planes[..., c], dtype=np.float64) for c in range(planes.shape[2])]


def _pairs(frames: Frames, reference: Frames) -> list[tuple[Frames, Frames]]:
    return list(zip(frames, reference, strict=True))


def _squared_error(a: Frames, b: Frames) -> float:
    return float(((a.astype(np.float64) - b) ** 2).mean())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
