"""The player: wires a model's graphs by role and plays a scene, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeanim.core.artifact import Array
from edgeanim.core.contract import OF_DRIVER, OF_STILL, Contract, Runs
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.overlap import Overlap
from edgeanim.runtime.execution import GraphRunner, Record, Shown, Timings, timed
from edgeanim.runtime.following import Step, shown_frames, smoothed_steps
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.pictures import finite, from_tensor
from edgeanim.runtime.refining import Make, refined_steps, small_still
from edgeanim.runtime.scene import BadStill, Picture, Scene
from edgeanim.runtime.transfer import Transfer
from edgeanim.runtime.warp import Compositor
from edgeanim.runtime.wiring import Values
from edgeanim.targets.backends import Session, SessionOptions, get_backend

if TYPE_CHECKING:
    from edgeanim.targets.bundle import Variant

COMPOSE = "compose"


class Player:
    """Plays scenes on one set of sessions, one per graph of the contract.

    `record(graph name, inputs)` is called before every run with copies of the inputs in the
    contract's layout: this is how calibration samples are collected. `motion` is what is done with
    a driver's motion; `UsageError` for what the model cannot heed.

    `timings` holds the seconds of the last frame: one entry per graph that ran, `prepare` (pictures
    to tensors) and `compose` (the finished frame). `still_timings` holds those of what was done
    once for the still.
    """

    def __init__(
        self,
        contract: Contract,
        sessions: Mapping[str, Session],
        record: Record | None = None,
        *,
        motion: MotionOptions | None = None,
    ) -> None:
        for graph in contract.graphs:
            if graph.name not in sessions:
                raise BadInput(f"The graph {graph.name!r} of the model has not been compiled.")
        self.contract = contract
        self.needs = Needs.of(contract)
        self.timings: Timings = {}
        self.still_timings: Timings = {}
        self._sessions = dict(sessions)
        # Of several graphs that give a role, the last is heard, in its session's layout.
        self._outputs = {
            spec.role: spec
            for graph in contract.per_frame
            for spec in sessions[graph.name].spec.outputs
        }
        self._runners = [GraphRunner(g, sessions[g.name], record) for g in contract.graphs]
        self._motion = motion or MotionOptions()
        self._motion.check(contract)
        self._transfer: Transfer | None = None

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def reference(self) -> int:
        """The number of the driver's frame that the last scene's motion was relative to."""
        return self._transfer.reference if self._transfer else 0

    @property
    def not_found(self) -> tuple[str, ...]:
        """The names of the regions that the last scene's driver has moved by themselves so far and
        that its still does not show: they could not be moved. None in a model without a
        skeleton."""
        regions = self.contract.regions
        if self._transfer is None or regions is None:
            return ()
        return tuple(regions[k] for k in sorted(self._transfer.not_found))

    @property
    def body_way(self) -> float:
        """How far the last scene's driver has moved its body so far, as a share of the picture's
        larger side; 0 in a model without a skeleton."""
        return self._transfer.body_way / 2 if self._transfer else 0.0

    def close(self) -> None:
        """Close all sessions."""
        for session in self._sessions.values():
            session.close()

    def play(self, scene: Scene, overlap: Overlap | None = None) -> Iterator[Picture]:
        """The frames of `scene`, uint8 [H, W, C], each a fresh array, as they are made. In an
        `overlap` the next driving frame is read, and what moves in it is found, while a frame is
        made; the frames are the same.

        A model that warps gives frames of the still's own size and transparency; one that paints
        gives frames of its own size, without the edges that fitting added. What the scene lacks is
        a `UsageError` at once; a driver of one frame, where motion is needed, is `BadInput`.
        """
        self.needs.check(scene, self.contract)
        if self._motion.refine and scene.driver is None:
            raise UsageError("A stored motion has no frames by which it could be refined.")
        return self._play(scene, overlap)

    def _play(self, scene: Scene, overlap: Overlap | None) -> Iterator[Picture]:
        values = Values()
        still = self._prepare_still(scene, values)
        compositor = self._compositor(scene, still)
        transfer = self._motion_transfer(values, scene)
        steps = self._steps(scene, values, still, overlap)
        if self._motion.refine:
            steps = refined_steps(steps, self._trials(scene, values.copy(), still))
        for index, step in enumerate(smoothed_steps(steps) if self._motion.smooth else steps):
            self.timings = step.timings
            if step.motion is not None:
                values.put("motion:driving", transfer(step.motion))
            self._run("frame", values, step.sight, scene, index, step.timings)
            with timed(step.timings, COMPOSE):
                picture = self._finish(values, compositor, step.sight)
            yield picture

    def _steps(
        self, scene: Scene, values: Values, still: Shown | None, overlap: Overlap | None
    ) -> Iterator[Step]:
        """What `_follow` finds; in an `overlap`, ahead of the frames that are made of it."""
        keep = self._motion.smooth or self._motion.refine
        if overlap is None or scene.driver is None:
            return self._follow(scene, values, still, keep=keep)
        if self.needs.moves_alone:
            return overlap.ahead(self._follow(scene, values.copy(), still, keep=True))
        ahead = replace(scene, driver=overlap.ahead(scene.driver))
        return self._follow(ahead, values, still, keep=keep)

    def _follow(
        self, scene: Scene, values: Values, still: Shown | None, *, keep: bool
    ) -> Iterator[Step]:
        """What is seen at each moment, and the motion found in it, if the model needs any; to
        `keep` beyond the next moment."""
        for index, moment in enumerate(self._moments(scene)):
            timings: Timings = {}
            sight = {"still": still} if still is not None else {}
            if isinstance(moment, Shown):
                sight["driving_frame"] = moment
                if self.needs.plays_pictures:
                    sight["still"] = moment
                self._run("driver", values, sight, scene, index, timings)
            elif moment is not None:
                values.put("motion:driving", moment)
            found = values.require("motion:driving") if self.needs.motion else None
            motion = found.copy() if found is not None and keep else found
            yield Step(sight, motion, timings)

    def _trials(self, scene: Scene, values: Values, still: Shown | None) -> Make:
        """What makes frames of motions to be tried, of a small still; these runs are not
        recorded."""
        compositor = None
        if scene.still is not None:
            small = Shown(small_still(scene.still), refused=BadStill)
            compositor = self._compositor(replace(scene, still=small.picture), small)
        sight = {} if still is None else {"still": still}
        runners = [
            GraphRunner(runner.graph, self._sessions[runner.graph.name], None)
            for runner in self._runners
            if runner.graph.runs == "frame"
        ]

        def make(index: int, motion: Array) -> Picture:
            values.put("motion:driving", motion)
            for runner in runners:
                runner.run(
                    values, sight, {}, rename=OF_DRIVER, conditions=scene.conditions, index=index
                )
            return self._finish(values, compositor, sight)

        return make

    def _prepare_still(self, scene: Scene, values: Values) -> Shown | None:
        """Do all that happens once per still; what it finds is kept in `values`."""
        self.still_timings = {}
        still = None
        sight = {}
        if self.needs.still and scene.still is not None:
            still = Shown(scene.still, refused=BadStill)
            sight = {"still": still, "driving_frame": still}
        for runner in self._runners:
            runs = runner.graph.runs
            if runs == "once" or (runs == "driver" and still is not None):
                runner.run(
                    values,
                    sight,
                    self.still_timings,
                    rename=OF_STILL,
                    conditions=scene.conditions,
                    keep=True,
                )
        return still

    def _run(
        self,
        runs: Runs,
        values: Values,
        sight: Mapping[str, Shown],
        scene: Scene,
        index: int,
        timings: Timings,
    ) -> None:
        for runner in self._runners:
            if runner.graph.runs == runs:
                runner.run(
                    values,
                    sight,
                    timings,
                    rename=OF_DRIVER,
                    conditions=scene.conditions,
                    index=index,
                )

    def _moments(self, scene: Scene) -> Iterator[Shown | Array | None]:
        """What each output frame shows: a driving frame, a stored motion [1, K, 6], or, in a
        model that needs neither, nothing."""
        if scene.track is not None and self.needs.motion:
            motions = scene.track.motions()
            for motion in itertools.cycle(motions) if scene.looped else motions:
                yield motion[None]
        elif scene.driver is not None:
            yield from shown_frames(scene.driver, at_least=2 if self.needs.motion else 1)
        elif self.needs.plays_pictures and scene.still is not None:
            yield Shown(scene.still, refused=BadStill)
        else:
            yield None

    def _motion_transfer(self, values: Values, scene: Scene) -> Transfer:
        """What carries the driver's motion over to the still."""
        found = values.array("motion:still")
        if self._motion.transfer == "relative" and found is None:
            raise UsageError(
                f"The model {self.contract.name!r} does not find the motion of a still, so motion "
                "cannot be relative to it.",
                hint="Ask for the driver's motion as it is.",
            )
        self._transfer = Transfer(
            found,
            self._motion.transfer or "relative",
            self.contract.joints(),
            scene.track,
            in_place=self._motion.in_place,
            strength=self._motion.strength,
        )
        return self._transfer

    def _compositor(self, scene: Scene, still: Shown | None) -> Compositor | None:
        flow = self._outputs.get("flow")
        if scene.still is None or still is None or flow is None or "frame" in self._outputs:
            return None
        return Compositor(scene.still, still.fit(flow.size))

    def _finish(
        self, values: Values, compositor: Compositor | None, sight: Mapping[str, Shown]
    ) -> Picture:
        if compositor is None:
            frame = self._outputs["frame"]
            picture = from_tensor(values.require("frame"), frame)
            shown = sight.get("still") or sight.get("driving_frame")
            # What no graph looks at has added no edges.
            if shown is None or not (self.needs.still or self.needs.frames or self.needs.motion):
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


def load_player(
    contract: Contract,
    variant: Variant,
    options: SessionOptions,
    record: Record | None = None,
    *,
    motion: MotionOptions | None = None,
) -> Player:
    """Open a session for every graph of `variant` on its backend; `record` and `motion` are the
    player's. Errors are the backend's: `MissingComponent`, `BadInput`, `DeviceFailed`; none
    leaves a session open."""
    backend = get_backend(variant.backend)
    with ExitStack() as opened:
        sessions = {}
        for compiled in variant.graphs:
            session = backend.load(compiled, options)
            opened.callback(session.close)
            sessions[compiled.spec.name] = session
        player = Player(contract, sessions, record, motion=motion)
        opened.pop_all()
    return player
