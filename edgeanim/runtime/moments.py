"""The moments of a scene: how many it has, some of them alone, and what a condition is at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array
from edgeanim.core.contract import CONDITION, Contract, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.runtime.scene import Scene


def choose(values: Array, spec: TensorSpec, index: int) -> Array:
    """The `index`-th choice of a condition, cycled, in the shape of `spec` (contract layout)."""
    batch = spec.shape[0]
    if values.shape[1:] != spec.shape[1:] or len(values) % batch:
        name = spec.role.removeprefix(CONDITION)
        raise BadInput(
            f"The input {name!r} takes {list(spec.shape)} (or several of these along the first "
            f"axis), but {list(values.shape)} is given.",
            where=f"--input {name}",
        )
    start = index % (len(values) // batch) * batch
    return values[start : start + batch]


def moments(scene: Scene) -> int:
    """How many frames the driver (an array) or the track of `scene` has; 0 without either."""
    if scene.track is not None:
        return len(scene.track)
    return 0 if scene.driver is None else len(np.asarray(scene.driver))


def at_moments(scene: Scene, kept: NDArray[np.intp], contract: Contract) -> Scene:
    """`scene` with the frames `kept` of its driver (an array) or track, and the conditions that are
    theirs (see `conditions_at`)."""
    conditions = conditions_at(scene.conditions, kept, moments(scene), contract)
    driver, track = scene.driver, scene.track
    if track is not None:
        track = replace(track, values=track.values[kept])
    elif driver is not None:
        driver = np.asarray(driver)[kept]
    return replace(scene, driver=driver, track=track, conditions=conditions)


def conditions_at(
    conditions: Mapping[str, Array], kept: NDArray[np.intp], count: int, contract: Contract
) -> dict[str, Array]:
    """The `conditions` of the frames `kept` of `count`.

    One that lists as many choices as there are frames has one for each, which stays with it; any
    other list is cycled through as before.
    """
    batches = condition_batches(contract)
    found = dict(conditions)
    for name, values in conditions.items():
        if len(values) == count * batches.get(name, 0):
            own = values.reshape(count, -1, *values.shape[1:])[kept]
            found[name] = own.reshape(-1, *values.shape[1:])
    return found


def condition_batches(contract: Contract) -> dict[str, int]:
    """The first axis of each condition that the model takes, by NAME."""
    return {
        spec.role.removeprefix(CONDITION): spec.shape[0]
        for graph in contract.graphs
        for spec in graph.inputs
        if spec.role.startswith(CONDITION)
    }
