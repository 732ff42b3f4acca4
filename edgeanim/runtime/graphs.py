"""A model's graphs, run in their order on one set of sessions, and the picture that they make."""

from __future__ import annotations

from collections.abc import Mapping

from edgeanim.core.artifact import Array
from edgeanim.core.contract import OF_DRIVER, OF_STILL, Contract, Runs
from edgeanim.core.errors import BadInput
from edgeanim.runtime.execution import GraphRunner, Moment, Record, Shown, Timings
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.pictures import finite, from_tensor
from edgeanim.runtime.scene import Picture
from edgeanim.runtime.warp import Compositor
from edgeanim.runtime.wiring import Values
from edgeanim.targets.backends import Session

_WHOLE = (-1.0, -1.0, 1.0, 1.0)


class Graphs:
    """The graphs of `contract`, each with its session. `record(graph name, inputs)` is called
    before every run with copies of the inputs in the contract's layout. `BadInput` if a graph has
    no session, or nothing makes a picture."""

    def __init__(
        self, contract: Contract, sessions: Mapping[str, Session], record: Record | None
    ) -> None:
        for graph in contract.graphs:
            if graph.name not in sessions:
                raise BadInput(f"The graph {graph.name!r} of the model has not been compiled.")
        self._needs = Needs.of(contract)
        self._runners = [GraphRunner(g, sessions[g.name], record) for g in contract.graphs]
        # Of several graphs that give a role, the last is heard, in its session's layout.
        self._outputs = {
            spec.role: spec
            for graph in contract.per_frame
            for spec in sessions[graph.name].spec.outputs
        }
        self._shaped_like = _shaped_like(contract)

    def prepare(
        self,
        still: Shown | None,
        values: Values,
        timings: Timings,
        conditions: Mapping[str, Array],
    ) -> None:
        """Do all that happens once per still; what it finds is kept in `values`."""
        sight = {} if still is None else {"still": still, "driving_frame": still}
        moment = Moment(sight, conditions)
        for runner in self._runners:
            runs = runner.graph.runs
            if runs == "once" or (runs == "driver" and still is not None):
                runner.run(values, moment, timings, rename=OF_STILL, keep=True)

    def run(self, runs: Runs, values: Values, moment: Moment, timings: Timings) -> None:
        """Run all graphs of one kind."""
        for runner in self._runners:
            if runner.graph.runs == runs:
                runner.run(values, moment, timings, rename=OF_DRIVER)

    def compositor(self, picture: Picture | None, still: Shown | None) -> Compositor | None:
        """What warps `picture`, which has the shape of `still`, by the graphs' flow; `None` where
        the model paints its frames itself."""
        flow = self._outputs.get("flow")
        if picture is None or still is None or flow is None or "frame" in self._outputs:
            return None
        return Compositor(picture, still.fit(flow.size))

    def places(self, still: Shown | None) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a finished picture in grid units (-1..1) of the graphs'
        own pictures, on which `still` may have been given edges."""
        if still is None:
            return _WHOLE
        made = self._outputs.get("frame") or self._outputs["flow"]
        return still.fit(made.size).places

    def finish(
        self, values: Values, compositor: Compositor | None, sight: Mapping[str, Shown]
    ) -> Picture:
        """The picture that the graphs' outputs in `values` make."""
        if compositor is None:
            frame = self._outputs["frame"]
            picture = from_tensor(values.require("frame"), frame)
            shown = sight.get(self._shaped_like) or sight.get("driving_frame")
            # What no graph looks at has added no edges.
            if shown is None or not self._needs.sees:
                return picture
            return shown.fit(frame.size).from_graph(picture)
        flow = self._map(values, "flow")
        colour = self._outputs.get("colour")
        if colour is None:
            return compositor.warp(flow)
        fill = from_tensor(values.require("colour"), colour)
        return compositor.compose(flow, self._map(values, "alpha")[:, :, 0], fill)

    def _map(self, values: Values, role: str) -> Array:
        """A view of the output with this role: finite float32 [h, w, C]."""
        spec = self._outputs[role]
        array: Array = finite(values.require(role), spec)[0]
        return array.transpose(1, 2, 0) if spec.layout == "NCHW" else array


def _shaped_like(contract: Contract) -> str:
    """The role of the picture whose proportions a painted frame has: the still's; or the driver's,
    where frames have the size of its pictures and the still is seen at another, as one is of which
    a net takes the face alone."""

    def sizes(role: str) -> set[tuple[int, int]]:
        inputs = [spec for graph in contract.graphs for spec in graph.inputs]
        return {spec.size for spec in inputs if spec.role == role}

    made = {spec.size for graph in contract.per_frame if (spec := graph.output("frame"))}
    return (
        "still" if made & sizes("still") or not made & sizes("driving_frame") else "driving_frame"
    )
