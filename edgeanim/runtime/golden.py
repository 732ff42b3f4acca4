"""Golden frames: a scene and what the float32 original made of it, to hold every variant against.

Stored as one `.npz` without pickles: `frames`, and those of `still`, `driver`, `track.values`,
`track.fps` and `condition.NAME` that the scene has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.arrays import load_npz, save_npz
from edgeanim.core.errors import BadInput
from edgeanim.runtime.motion import track_from
from edgeanim.runtime.scene import Scene, check_picture

MAX_BYTES = 1 << 30
"""Of all arrays together: 16 frames of a 4K clip, made with transparency, and that clip beside them
take seven eighths of it."""

_HEADERS = 1 << 20
_CONDITION = "condition."
_OPTIONAL = ("still", "driver", "track.values", "track.fps")


@dataclass(frozen=True, eq=False)
class Golden:
    """`frames` uint8 [T, H, W, 3 or 4]: what the float32 original shows for `scene`.

    The scene's driver is held as one uint8 array [T, H, W, 3], so it can be played many times.
    """

    scene: Scene
    frames: NDArray[np.uint8]

    def __post_init__(self) -> None:
        _check_frames(self.frames, "the golden frames")
        driver = self.scene.driver
        if driver is None:
            return
        if not isinstance(driver, np.ndarray):
            driver = np.stack(list(driver))
            object.__setattr__(self, "scene", replace(self.scene, driver=driver))
        _check_frames(driver, "the driver")


def save_golden(path: Path, golden: Golden) -> None:
    """Write `golden` to `path`, atomically; equal goldens give equal bytes. `BadInput` for more
    than `MAX_BYTES`, which nobody could read back."""
    scene = golden.scene
    arrays: dict[str, NDArray[Any]] = {"frames": golden.frames}
    if scene.still is not None:
        arrays["still"] = scene.still
    if scene.driver is not None:
        arrays["driver"] = np.asarray(scene.driver)
    if scene.track is not None:
        arrays["track.values"] = scene.track.values
        arrays["track.fps"] = np.array(scene.track.fps, np.float64)
    for name, values in sorted(scene.conditions.items()):
        arrays[f"{_CONDITION}{name}"] = values
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES:
        raise BadInput(
            f"The frames to judge by take {size >> 20} MiB, more than {MAX_BYTES >> 20}.",
            hint="Give smaller pictures or clips.",
        )
    save_npz(path, arrays)


def load_golden(path: Path) -> Golden:
    """Read a golden file, strictly: `BadInput` for anything unexpected in it."""
    arrays = load_npz(
        path,
        required=("frames",),
        optional=_OPTIONAL,
        prefixes=(_CONDITION,),
        limit=MAX_BYTES + _HEADERS,
    )
    if ("track.values" in arrays) != ("track.fps" in arrays):
        raise BadInput("Half of the motion track is missing.", where=path)
    track = None
    if "track.values" in arrays:
        track = track_from(arrays["track.values"], arrays["track.fps"], where=path)
    conditions = {
        name[len(_CONDITION) :]: values
        for name, values in arrays.items()
        if name.startswith(_CONDITION)
    }
    try:
        scene = Scene(arrays.get("still"), arrays.get("driver"), track, conditions)
        return Golden(scene, arrays["frames"])
    except ValueError as error:
        raise BadInput(f"These are not golden frames: {error}.", where=path) from error


def _check_frames(frames: NDArray[np.uint8], what: str) -> None:
    if frames.ndim != 4 or not len(frames):
        raise ValueError(f"{what} are not uint8 [T, H, W, 3 or 4]: {frames.dtype} {frames.shape}")
    check_picture(frames[0], what)
