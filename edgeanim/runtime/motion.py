"""Motion: the centre and affine frame of each region, stored as a track, carried over to a still.

A region's six numbers are its centre `(x, y)` in grid units (-1..1 across the picture, y down) and
a row-major 2x2 affine `A` that spans the region.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.arrays import load_npz, save_npz
from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput

MAX_FRAMES = 100_000
MAX_REGIONS = 256
_MAX_VALUE = 1e3
_MAX_FPS = 1000.0
# Below this determinant a driver's region is a line or a point: it has no frame to measure
# a change of shape in.
_SINGULAR = 1e-6


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """The motion of a clip: `values` float32 [T, K, 6] of T frames and K regions, `fps` in 1/s."""

    values: Array
    fps: float

    def __post_init__(self) -> None:
        values = self.values
        if values.dtype != np.float32 or values.ndim != 3 or values.shape[2] != 6:
            raise ValueError(f"a track is float32 [T, K, 6], not {values.dtype} {values.shape}")
        if not 1 <= values.shape[0] <= MAX_FRAMES or not 1 <= values.shape[1] <= MAX_REGIONS:
            raise ValueError(
                f"a track has 1 to {MAX_FRAMES} frames and 1 to {MAX_REGIONS} regions, "
                f"not {values.shape[0]} and {values.shape[1]}"
            )
        if not (np.abs(values) <= _MAX_VALUE).all():
            raise ValueError("a track holds a number that is not finite or far out of the picture")
        if not 0 < self.fps <= _MAX_FPS:
            raise ValueError(f"the frame rate {self.fps} is not between 0 and {_MAX_FPS:g}")

    def __len__(self) -> int:
        return len(self.values)

    def motions(self) -> Iterator[Array]:
        """The motion [K, 6] of each frame, in their order."""
        return iter(self.values)

    def resampled(self, fps: float) -> MotionTrack:
        """The same motion at another frame rate, interpolated linearly between the frames."""
        if not 0 < fps <= _MAX_FPS:
            raise ValueError(f"the frame rate {fps} is not between 0 and {_MAX_FPS:g}")
        last = len(self) - 1
        # The tolerance keeps the last frame when the division lands a rounding error below it.
        count = math.floor(last * fps / self.fps + 1e-6) + 1
        if count > MAX_FRAMES:
            raise ValueError(f"at {fps:g} frames/s the track has more than {MAX_FRAMES} frames")
        times = np.minimum(np.arange(count) * (self.fps / fps), last)
        before = np.floor(times).astype(np.int64)
        after = np.minimum(before + 1, last)
        share = (times - before).astype(np.float32)[:, None, None]
        values = self.values[before] * (1 - share) + self.values[after] * share
        return MotionTrack(values.astype(np.float32), fps)


def load_track(path: Path) -> MotionTrack:
    """Read a `.npz` with `values` float32 [T, K, 6] and `fps` (one number); strictly."""
    arrays = load_npz(path, required=("values", "fps"))
    return track_from(arrays["values"], arrays["fps"], where=path)


def track_from(values: Array, fps: NDArray[np.float64], *, where: object) -> MotionTrack:
    """A track from arrays that came from outside; `BadInput` names `where`."""
    if fps.shape != () or fps.dtype.kind != "f":
        raise BadInput("`fps` must be a single floating-point number.", where=where)
    try:
        return MotionTrack(values, float(fps))
    except ValueError as error:
        raise BadInput(f"This is not a motion track: {error}.", where=where) from error


def save_track(path: Path, track: MotionTrack) -> None:
    """Write `track` as `.npz`, atomically."""
    save_npz(path, {"values": track.values, "fps": np.array(track.fps, np.float64)})


def relative(still: Array, driving: Array, driving_first: Array, *, scale: float = 1.0) -> Array:
    """The driver's motion since its first frame, carried over to the still. All arrays [K, 6].

    As in Siarohin et al., "First Order Motion Model for Image Animation" (NeurIPS 2019), eq. 15:
    `centre = c_still + scale * (c_t - c_0)` and `A = A_t A_0^-1 A_still`. A region whose `A_0`
    is singular keeps the still's shape and only moves. Returns float32.
    """
    return RelativeMotion(still, driving_first, scale=scale)(driving)


class RelativeMotion:
    """`relative` for one still and one first frame of a driver, called with each motion [K, 6].

    All that does not change from frame to frame is worked out once: what remains is affine, six
    numbers times a matrix and plus a constant for each region.
    """

    def __init__(self, still: Array, driving_first: Array, *, scale: float = 1.0) -> None:
        own, first = still.astype(np.float64), driving_first.astype(np.float64)
        inverses, singular = _inverses(_affines(first))
        self._matrices = np.zeros((len(own), 6, 6))
        self._matrices[:, :2, :2] = scale * np.eye(2)
        for row in (slice(2, 4), slice(4, 6)):
            self._matrices[:, row, row] = inverses @ _affines(own)
        self._constants = np.where(singular[:, None], own, 0.0)
        self._constants[:, :2] = own[:, :2] - scale * first[:, :2]

    def __call__(self, driving: Array) -> Array:
        moved = driving[:, None, :] @ self._matrices
        return (moved[:, 0] + self._constants).astype(np.float32)


def _affines(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    return motion[:, 2:].reshape(-1, 2, 2)


def _inverses(affines: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The inverse of each of [K, 2, 2], zero where there is none, and where that is."""
    a, b, c, d = affines[:, 0, 0], affines[:, 0, 1], affines[:, 1, 0], affines[:, 1, 1]
    determinant = a * d - b * c
    singular = np.abs(determinant) < _SINGULAR
    inverses = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2)
    inverses /= np.where(singular, 1.0, determinant)[:, None, None]
    inverses[singular] = 0.0
    return inverses, singular
