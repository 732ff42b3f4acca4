"""What is played: a still, a driver's frames or a stored motion, and a model's further inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.arrays import load_npy
from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput
from edgeanim.runtime.motion import MotionTrack

Picture = NDArray[np.uint8]
"""uint8 [H, W, 3] (RGB) or, for a still with transparency, [H, W, 4] (RGBA, not premultiplied)."""


class BadDriver(BadInput):
    """A driver's frames, or a stored motion, cannot be followed. Who opened it knows its name."""


class BadStill(BadInput):
    """A still cannot be animated. Who opened it knows its name."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a model plays.

    `still` is the picture to animate; `more_stills`, of its shape, show the same character in other
    poses, and each frame is made of the one that is nearest in pose. The motion comes from a
    `driver` (RGB frames, one size; an iterator is consumed once), a stored `track`, or `motions`,
    float32 [K, 6], as they come: from one of them.
    `conditions` holds the model's `condition:NAME` inputs by NAME, in the contract's layout; where
    the first axis is longer than the model's, it lists choices that are cycled through frame by
    frame. A `looped` track begins again whenever it ends.
    """

    still: Picture | None = None
    driver: Iterable[Picture] | None = None
    track: MotionTrack | None = None
    conditions: Mapping[str, Array] = field(default_factory=dict)
    looped: bool = False
    more_stills: Sequence[Picture] = ()
    motions: Iterable[Array] | None = None

    def __post_init__(self) -> None:
        if self.still is not None:
            check_picture(self.still, "the still")
        for number, picture in enumerate(self.more_stills):
            check_picture(picture, f"further still {number}")
            if self.still is None or picture.shape != self.still.shape:
                raise ValueError(f"further still {number} has not the shape of the still")
        if sum(each is not None for each in (self.driver, self.track, self.motions)) > 1:
            raise ValueError("a scene moves by a driver, a stored track or motions, not by several")
        for name, values in self.conditions.items():
            if values.dtype != np.float32 or values.ndim < 1 or not values.size:
                raise ValueError(f"the input {name!r} is not a filled float32 array")
            if not np.isfinite(values).all():
                raise ValueError(f"the input {name!r} holds NaN or infinity")


def is_picture(array: NDArray[Any]) -> bool:
    """Whether an array has the form of a picture: uint8 [H, W, 3 or 4]."""
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (3, 4)


def check_picture(picture: Picture, what: str) -> None:
    """`ValueError` unless `picture` is uint8 [H, W, 3 or 4] with at least one pixel."""
    if not is_picture(picture):
        raise ValueError(f"{what} is not uint8 [H, W, 3 or 4]: {picture.dtype} {picture.shape}")
    if not picture.size:
        raise ValueError(f"{what} has no pixels")


def load_condition(path: Path) -> Array:
    """A model's further input from an `.npy` of finite numbers, as float32; one alone is [1]."""
    array = np.atleast_1d(load_npy(path).astype(np.float32))
    if not array.size or not np.isfinite(array).all():
        raise BadInput("The array is empty or holds NaN or infinity.", where=path)
    return array
