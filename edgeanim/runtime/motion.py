"""Motion: the centre and affine frame of each region, stored as a track.

A region's six numbers are its centre `(x, y)` in grid units (-1..1 across the picture, y down) and
a row-major 2x2 affine `A` that spans the region.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.arrays import load_npz, save_npz
from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput
from edgeanim.core.files import canonical_json
from edgeanim.core.parsing import parse_json

MAX_FRAMES = 100_000
MAX_REGIONS = 256
_REGIONS = "regions"
_MAX_VALUE = 1e3
MIN_FPS, MAX_FPS = 0.01, 1000.0
"""Of stored motions and of what is written: below, times grow out of all formats' numbers."""
# The largest track, and room for its headers and names.
_MAX_BYTES = (MAX_FRAMES * MAX_REGIONS * 6 * 4) + (1 << 20)


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """The motion of a clip: `values` float32 [T, K, 6] of T frames and K regions, `fps` in 1/s, and
    the names that the `regions` have in the contract of the model that found them, if any.
    `ValueError` for anything else, such as numbers that are not finite."""

    values: Array
    fps: float
    regions: tuple[str, ...] | None = None

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
        _check_rate(self.fps)

    def __len__(self) -> int:
        return len(self.values)

    def motions(self) -> Iterator[Array]:
        """The motion [K, 6] of each frame, in their order."""
        return iter(self.values)

    def resampled(self, fps: float, *, looped: bool = False) -> MotionTrack:
        """The same motion at another frame rate, interpolated linearly between the frames. A
        `looped` one also between the last and the first, and a round takes as long as before, to
        the nearest frame."""
        _check_rate(fps)
        frames = len(self)
        if looped:
            count = max(1, round(frames * fps / self.fps))
        else:
            # The tolerance keeps the last frame when the division lands a rounding error below it.
            count = math.floor((frames - 1) * fps / self.fps + 1e-6) + 1
        if count > MAX_FRAMES:
            raise ValueError(f"at {fps:g} frames/s the track has more than {MAX_FRAMES} frames")
        if looped:
            times = np.arange(count) * (frames / count)
        else:
            times = np.minimum(np.arange(count) * (self.fps / fps), frames - 1)
        before = np.floor(times).astype(np.int64)
        after = (before + 1) % frames
        share = (times - before).astype(np.float32)[:, None, None]
        values = self.values[before] * (1 - share) + self.values[after] * share
        return MotionTrack(values.astype(np.float32), fps, self.regions)


def _check_rate(fps: float) -> None:
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ValueError(f"the frame rate {fps} is not between {MIN_FPS:g} and {MAX_FPS:g}")


def load_track(path: Path) -> MotionTrack:
    """Read a `.npz` with `values` float32 [T, K, 6], `fps` (one number), and perhaps `regions`: the
    bytes of a JSON list of names; strictly."""
    arrays = load_npz(path, required=("values", "fps"), optional=(_REGIONS,), limit=_MAX_BYTES)
    track = track_from(arrays["values"], arrays["fps"], where=path)
    return replace(track, regions=_names_from(arrays.get(_REGIONS), where=path))


def track_from(values: Array, fps: NDArray[Any], *, where: object) -> MotionTrack:
    """A track from arrays that came from outside; `BadInput` names `where`."""
    if fps.shape != () or fps.dtype.kind not in "iuf":
        raise BadInput("`fps` must be a single number.", where=where)
    try:
        return MotionTrack(values, float(fps))
    except ValueError as error:
        raise BadInput(f"This is not a motion track: {error}.", where=where) from error


def save_track(path: Path, track: MotionTrack) -> None:
    """Write `track` as `.npz`, atomically."""
    arrays: dict[str, NDArray[Any]] = {
        "values": track.values,
        "fps": np.array(track.fps, np.float64),
    }
    if track.regions is not None:
        arrays[_REGIONS] = np.frombuffer(canonical_json(track.regions).encode(), np.uint8)
    save_npz(path, arrays)


def _names_from(stored: NDArray[Any] | None, *, where: object) -> tuple[str, ...] | None:
    if stored is None:
        return None
    names = None
    if stored.dtype == np.uint8 and stored.ndim == 1:
        names = parse_json(stored.tobytes().decode(errors="replace"), where=where)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInput("`regions` must be a JSON list of names.", where=where)
    return tuple(names)
