"""The stills of a scene, each prepared once, and the frames that are made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from edgeanim.core.artifact import Array
from edgeanim.runtime.execution import Shown, Timings, timed
from edgeanim.runtime.following import Step
from edgeanim.runtime.graphs import Graphs
from edgeanim.runtime.nearest_still import NearestStill, Shares
from edgeanim.runtime.pictures import mixed
from edgeanim.runtime.scene import BadStill, Picture, Scene
from edgeanim.runtime.warp import Compositor
from edgeanim.runtime.wiring import Values

COMPOSE = "compose"
_ALONE: Shares = ((0, 1.0),)


class Prepared(NamedTuple):
    """A still as frames are made of it: what the graphs know of it, how they see it, if they do,
    and what warps it, if anything does."""

    values: Values
    shown: Shown | None
    compositor: Compositor | None


class Stills:
    """The still of `scene`, or nothing where no picture is animated (`seen` is false), and further
    ones, of which frames are made where their pose is nearer. They can be played again, after
    `begin`. `timings` holds the seconds of what was done once for all of them."""

    def __init__(self, graphs: Graphs, scene: Scene, *, seen: bool) -> None:
        self.timings: Timings = {}
        self._graphs, self._conditions, self._seen = graphs, scene.conditions, seen
        first = self._prepare(scene.still)
        others = [self._prepare(still, beside=first) for still in scene.more_stills]
        self._prepared = (first, *others)
        self.begin()

    def begin(self) -> None:
        """Forget what was played with them."""
        self._all = [still._replace(values=still.values.copy()) for still in self._prepared]
        self._nearest = None
        if len(self._all) > 1:
            poses = [still.values.require("motion:still") for still in self._all]
            self._nearest = NearestStill(poses)

    @property
    def first(self) -> Prepared:
        """The one that is animated."""
        return self._all[0]

    def frame(self, step: Step, motion: Array | None) -> Picture:
        """The frame of this step, in which the still shows this `motion` [1, K, 6], if any: uint8
        [H, W, C], a fresh array."""
        shares = _ALONE
        if self._nearest is not None and motion is not None:
            shares = self._nearest.shares(motion)
        made = [self._made(self._all[number], step, motion) for number, _ in shares]
        if len(made) == 1:
            return made[0]
        with timed(step.timings, COMPOSE):
            return mixed(made[0], made[1], shares[0][1])

    def _prepare(self, picture: Picture | None, beside: Prepared | None = None) -> Prepared:
        shown = Shown(picture, refused=BadStill) if self._seen and picture is not None else None
        values = Values()
        self._graphs.prepare(shown, values, self.timings, self._conditions)
        if beside is not None and beside.compositor is not None and picture is not None:
            return Prepared(values, shown, beside.compositor.beside(picture))
        return Prepared(values, shown, self._graphs.compositor(picture, shown))

    def _made(self, still: Prepared, step: Step, motion: Array | None) -> Picture:
        """What one of the stills makes."""
        values, moment, timings = still.values, step.moment, step.timings
        if motion is not None:
            values.put("motion:driving", motion)
        if still.shown is not None:
            moment = replace(moment, sight={**moment.sight, "still": still.shown})
        self._graphs.run("frame", values, moment, timings)
        with timed(timings, COMPOSE):
            return self._graphs.finish(values, still.compositor, moment.sight)
