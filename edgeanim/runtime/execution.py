"""Running one graph: its inputs gathered by role in the session's layout, its outputs kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from edgeanim.core.artifact import Array, relayout
from edgeanim.core.contract import CONDITION, STATE, GraphSpec, Layout, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.runtime.moments import choose
from edgeanim.runtime.pictures import Fit, flatten, picture_range, to_tensor
from edgeanim.runtime.scene import Picture
from edgeanim.runtime.wiring import Values
from edgeanim.targets.backends import Session

Record = Callable[[str, Mapping[str, Array]], None]
Timings = dict[str, float]
PREPARE = "prepare"
TensorForm = tuple[tuple[int, ...], Layout, tuple[float, float] | None]
"""Shape, layout and value range: all that decides what a picture's tensor is."""


class Shown:
    """A picture as the graphs are shown it; every tensor of it is made once.

    `picture` is it in RGB. `before` is the driver's previous frame, of the same size; without one
    the cue is zero, and the previous frame is this one.
    `refused` is what a picture raises that cannot be fitted to the graphs'.
    """

    def __init__(
        self,
        picture: Picture,
        before: Shown | None = None,
        *,
        refused: type[BadInput] = BadInput,
    ) -> None:
        self.size: tuple[int, int] = (picture.shape[0], picture.shape[1])
        self.picture = flatten(picture)
        self._before = before
        self._refused = refused
        self._fitted: dict[tuple[int, int], Picture] = {}
        self._tensors: dict[TensorForm, Array] = {}

    @property
    def previous(self) -> Shown:
        """The driver's frame before this one, or this one if it is the first."""
        return self if self._before is None else self._before

    def fit(self, size: tuple[int, int]) -> Fit:
        """How this picture lies on the canvas of a graph whose pictures have the size `size`."""
        try:
            return Fit.of(self.size, size)
        except BadInput as error:
            raise self._refused(error.what, hint=error.hint) from error

    def forget_before(self) -> None:
        """Let go of the previous frame, which lets go of the one before it."""
        self._before = None

    def tensor(self, spec: TensorSpec, values: tuple[float, float] | None = None) -> Array:
        """This picture as the input `spec`, with the value range `values` or the input's own."""
        form = spec.shape, spec.layout, values or spec.range
        if form not in self._tensors:
            shown = spec if values is None else replace(spec, range=values)
            self._tensors[form] = to_tensor(self._at(spec.size), shown)
        return self._tensors[form]

    def cue(self, spec: TensorSpec, frames: tuple[float, float]) -> Array:
        """This picture minus the one before, as the input `spec`; `frames` is the value range of
        the pictures themselves."""
        if self._before is None:
            return np.zeros(spec.shape, np.float32)
        return np.subtract(self.tensor(spec, frames), self._before.tensor(spec, frames))

    def _at(self, size: tuple[int, int]) -> Picture:
        if size not in self._fitted:
            self._fitted[size] = self.fit(size).to_graph(self.picture, size)
        return self._fitted[size]


@dataclass(frozen=True)
class Moment:
    """What graphs are given at a moment besides what they give each other: the pictures in `sight`
    by role (`still`, `driving_frame`), and the conditions, of whose choices the one with the number
    `index` counts."""

    sight: Mapping[str, Shown]
    conditions: Mapping[str, Array]
    index: int = 0


class GraphRunner:
    """One graph with its session."""

    def __init__(self, graph: GraphSpec, session: Session, record: Record | None) -> None:
        self.graph = graph
        self._session = session
        self._record = record
        self._spec = session.spec

    def run(
        self,
        values: Values,
        moment: Moment,
        timings: Timings,
        *,
        rename: Mapping[str, str],
        keep: bool = False,
    ) -> None:
        """Run once and put the outputs into `values`.

        `rename` says under which role some values are kept; `keep` copies the outputs so that they
        outlive the session's next run. Seconds are added to `timings`.
        """
        with timed(timings, PREPARE):
            inputs = {
                spec.name: self._input(spec, rename.get(spec.role, spec.role), values, moment)
                for spec in self._spec.inputs
            }
        if self._record is not None:
            self._record(self.graph.name, self._in_contract_layout(inputs))
        with timed(timings, self.graph.name):
            outputs = self._session.run(inputs)
        for spec in self._spec.outputs:
            lasting = keep or spec.role.startswith(STATE)
            role = rename.get(spec.role, spec.role)
            values.put(role, outputs[spec.name], spec.layout, keep=lasting)

    def _input(self, spec: TensorSpec, role: str, values: Values, moment: Moment) -> Array:
        sight = moment.sight
        if spec.role in sight:
            return sight[spec.role].tensor(spec)
        if spec.role == "previous_frame" and "driving_frame" in sight:
            return sight["driving_frame"].previous.tensor(spec)
        if spec.role == "cue" and "driving_frame" in sight:
            return sight["driving_frame"].cue(spec, self._frames_range())
        if spec.role.startswith(CONDITION):
            asked = next(entry for entry in self.graph.inputs if entry.name == spec.name)
            choices = moment.conditions[spec.role.removeprefix(CONDITION)]
            return relayout(choose(choices, asked, moment.index), asked.layout, spec.layout)
        return values.get(spec, role, self.graph.name)

    def _frames_range(self) -> tuple[float, float]:
        """The value range of the frames whose difference a cue is."""
        frames = self._spec.input("driving_frame")
        return (0.0, 1.0) if frames is None else picture_range(frames)

    def _in_contract_layout(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given = {spec.name: spec.layout for spec in self._spec.inputs}
        return {
            spec.name: np.array(relayout(inputs[spec.name], given[spec.name], spec.layout))
            for spec in self.graph.inputs
        }


@contextmanager
def timed(timings: Timings, stage: str) -> Iterator[None]:
    """Add the seconds that the block takes to `timings[stage]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start
