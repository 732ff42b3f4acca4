"""Drift: how far a variant's frames are from those of the float32 original.

Pictures are compared one by one (`similarity`), and so are the differences between successive
frames, the flow from one to the next, and what ought to stand still: the eye forgives an error that
stays and sees one that comes and goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.drift.regions import RegionDrift, RegionMeter, Regions
from edgeanim.benchmarks.drift.similarity import ms_ssim, psnr, ssim
from edgeanim.benchmarks.drift.spread import Series, Spread
from edgeanim.core.errors import BadInput

__all__ = ["Drift", "DriftMeter", "Frames", "Spread", "measure_drift", "psnr", "ssim"]

# A pixel of the reference stands still if no channel changes by more than this from frame to frame.
_STILL_LEVELS = 1
# Below this share of pixels there is no still area to speak of.
_STILL_SHARE = 0.01
# The flow's pyramid needs a few patches of 8 pixels.
_SMALLEST_FLOW = 32

Frames = NDArray[np.uint8]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Drift:
    """A variant's frames against the reference's.

    `ssim_*` are similarities (1 is identical); `drift_mean` is `1 - ssim_mean`. `worst_frame` is
    the index of the frame that `ssim_worst` belongs to. `psnr_db` is that of the squared error
    over all frames, `None` if every frame is identical. `brightness_bias` and `temporal_l1` are in
    levels of 0..255. The temporal figures compare the differences between successive frames, so
    they show flicker; `None` for a single frame. `ssim` has every frame.

    The spreads: `ms_ssim` (`None` below 176 pixels), `psnr` in dB over the frames that differ,
    `brightness` (the bias) in levels, `temporal` (SSIM of the differences), `temporal_error` (their
    mean absolute error in levels), `flow` (mean distance in pixels between the flow from frame to
    frame here and in the reference; the tOF of Chu and others, 2020, with the flow of Kroeger and
    others, 2016; `None` below 32 pixels) and `flicker` (mean absolute error of the differences, in
    levels, where the reference stands still; `None` where nothing does). `regions` has the drift of
    each region by its name, of a model that finds regions in a picture.
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
    ms_ssim: Spread | None = None
    psnr: Spread | None = None
    brightness: Spread | None = None
    temporal: Spread | None = None
    temporal_error: Spread | None = None
    flow: Spread | None = None
    flicker: Spread | None = None
    regions: Mapping[str, RegionDrift] | None = None


class DriftMeter:
    """Compares two sequences of pictures frame by frame as they come. It keeps the two last frames
    and a few numbers for each, whatever the length of the clip. `regions` are those of the
    reference, where they are known."""

    def __init__(self, regions: Regions | None = None) -> None:
        self.ssim = Series()
        self._ms_ssim, self._squared, self._psnr, self._bias = (Series() for _ in range(4))
        self._temporal, self._temporal_l1, self._flow, self._flicker = (Series() for _ in range(4))
        self._before: tuple[Picture, Picture] | None = None
        self._regions = None if regions is None else RegionMeter(regions)

    def add(self, frame: Picture, reference: Picture) -> None:
        """The next frame of both, uint8 [H, W, C]; `BadInput` if they differ in shape."""
        number = len(self.ssim.values)
        similarity, deep = ms_ssim(frame, reference)
        error = float(((frame.astype(np.float64) - reference) ** 2).mean())
        self.ssim.add(similarity, number)
        self._ms_ssim.add(deep, number)
        self._squared.add(error, number)
        self._psnr.add(psnr(error), number)
        self._bias.add(float(frame.mean() - reference.mean()), number)
        if self._regions is not None:
            self._regions.add(frame, reference, number)
        if self._before is not None:
            self._add_step(*self._before, frame, reference, number)
        self._before = frame, reference

    def skip(self) -> None:
        """Frames were left out: the next one follows none that is known here."""
        self._before = None

    def result(self) -> Drift:
        """The drift so far; `BadInput` without a frame."""
        values = self.ssim.values
        whole = self.ssim.similarity()
        bias = self._bias.error()
        if whole is None or bias is None:
            raise BadInput("There is no frame to compare.")
        return Drift(
            frames=len(values),
            ssim_mean=whole.mean,
            ssim_p5=whole.tail,
            ssim_worst=whole.worst,
            worst_frame=whole.worst_frame,
            drift_mean=1 - whole.mean,
            psnr_db=psnr(float(np.mean(self._squared.values))),
            brightness_bias=bias.mean,
            temporal_ssim=self._temporal.mean(),
            temporal_l1=self._temporal_l1.mean(),
            ssim=tuple(values),
            ms_ssim=self._ms_ssim.similarity(),
            psnr=self._psnr.similarity(),
            brightness=bias,
            temporal=self._temporal.similarity(),
            temporal_error=self._temporal_l1.error(),
            flow=self._flow.error(),
            flicker=self._flicker.error(),
            regions=None if self._regions is None else self._regions.result(),
        )

    def _add_step(
        self, before: Picture, reference_before: Picture, now: Picture, reference: Picture, at: int
    ) -> None:
        ours = now.astype(np.int16) - before
        theirs = reference.astype(np.int16) - reference_before
        error = np.abs(ours - theirs)
        # The span of a difference of two levels is 510.
        self._temporal.add(ssim(ours, theirs, data_range=510.0), at)
        self._temporal_l1.add(float(error.mean()), at)
        still = (np.abs(theirs) <= _STILL_LEVELS).all(axis=2)
        if still.mean() >= _STILL_SHARE:
            self._flicker.add(float(error[still].mean()), at)
        if min(now.shape[:2]) >= _SMALLEST_FLOW:
            apart = _flow(before, now) - _flow(reference_before, reference)
            self._flow.add(float(np.hypot(apart[..., 0], apart[..., 1]).mean()), at)


def measure_drift(frames: Frames, reference: Frames, regions: Regions | None = None) -> Drift:
    """Compare two sequences of pictures, uint8 [T, H, W, C], frame by frame; also by the `regions`
    of the reference, where they are known."""
    if frames.shape != reference.shape or frames.ndim != 4:
        raise BadInput(
            f"The variant gave frames of {list(frames.shape)}, "
            f"the reference has {list(reference.shape)}.",
            hint="Both must play the same scene at the same size.",
        )
    meter = DriftMeter(regions)
    for frame, wanted in zip(frames, reference, strict=True):
        meter.add(frame, wanted)
    return meter.result()


def _flow(before: Picture, now: Picture) -> NDArray[np.float32]:
    """Dense optical flow in pixels, float32 [H, W, 2] (Kroeger and others, 2016, fast preset)."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow: NDArray[np.float32] = search.calc(_grey(before), _grey(now), None)
    return flow


def _grey(picture: Picture) -> Picture:
    import cv2

    grey: Picture = cv2.cvtColor(np.ascontiguousarray(picture[:, :, :3]), cv2.COLOR_RGB2GRAY)
    return grey
