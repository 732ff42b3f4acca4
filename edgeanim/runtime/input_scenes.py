"""Scenes in which no driver moves anything: the model's further inputs change from frame to frame,
as poses and sound do, and say how many frames there are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract
from edgeanim.core.errors import UsageError
from edgeanim.runtime.moments import condition_batches
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.pictures import flatten
from edgeanim.runtime.scene import Picture, Scene

_ONE_FOR_EACH = "an --input of one value for each frame"


def moved_by_inputs(
    contract: Contract, still: Picture | None, conditions: Mapping[str, Array], *, looped: bool
) -> Scene:
    """`still`, or nothing in a model that takes no picture, for as many frames as `conditions` list
    values. `UsageError` if the model needs a driver, or if none of them lists several."""
    needs = Needs.of(contract)
    if needs.motion or (needs.frames and not needs.plays_pictures):
        raise UsageError(
            f"The model {contract.name!r} follows a driver, and none is given.",
            hint="Give a clip, a motion track or a camera with --drive.",
        )
    if needs.plays_pictures and still is None:
        raise UsageError(
            f"The model {contract.name!r} changes pictures, and none is given.",
            hint="Give a clip, a folder of pictures or a camera with --drive, or a picture with "
            f"--still and {_ONE_FOR_EACH}.",
        )
    if still is not None and not (needs.plays_pictures or needs.still):
        raise UsageError(
            f"The model {contract.name!r} takes no picture.", hint="Leave out --still."
        )
    count = moments_told(conditions, contract)
    if count < 2:
        raise UsageError(
            "Nothing says how the frames differ, or how many there are.",
            hint=f"Give --drive, or {_ONE_FOR_EACH}.",
        )
    frame = blank(contract)
    if still is not None and needs.plays_pictures:
        frame, still = flatten(still), None
    driver = itertools.repeat(frame, *(() if looped else (count,)))
    return Scene(still, driver, None, conditions, looped=looped)


def moments_told(conditions: Mapping[str, Array], contract: Contract) -> int:
    """For how many frames the longest of `conditions` lists values; 0 without any."""
    batches = condition_batches(contract)
    return max((len(v) // batches.get(name, 1) for name, v in conditions.items()), default=0)


def blank(contract: Contract) -> Picture:
    """What stands for a driver's frame where no graph looks at one: black, of the frames' size."""
    spec = next(s for g in contract.per_frame for s in g.outputs if s.role in ("frame", "flow"))
    return np.zeros((*spec.size, 3), np.uint8)


def repeated(picture: Picture, count: int) -> NDArray[np.uint8]:
    """A driver of `count` frames [T, H, W, C] that all are `picture`."""
    return np.repeat(picture[None], count, axis=0)
