"""The player: wires a model's graphs by role and plays a scene, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract
from edgeanim.core.errors import UsageError
from edgeanim.core.overlap import Overlap
from edgeanim.runtime.execution import Moment, Record, Shown, Timings
from edgeanim.runtime.following import Step, shown_frames, smoothed_steps
from edgeanim.runtime.graphs import Graphs
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.needs import Needs, check_track
from edgeanim.runtime.refining import Trials, refined_steps, small_still
from edgeanim.runtime.scene import BadDriver, BadStill, Picture, Scene, check_picture
from edgeanim.runtime.stills import Stills
from edgeanim.runtime.transfer import Transfer
from edgeanim.runtime.wiring import Values
from edgeanim.targets.backends import Session, SessionOptions, get_backend

if TYPE_CHECKING:
    from edgeanim.targets.bundle import Variant


class Beginning(NamedTuple):
    """How a motion begins: for so many `frames` it goes over from another one [1, K, 6], slowly at
    first and at last."""

    other: Array
    frames: int

    def at(self, number: int, motion: Array) -> Array:
        """What is shown instead of `motion` in the frame of this number, which counts from 0."""
        way = min(1.0, (number + 1) / (self.frames + 1))
        share = np.float32(way * way * (3 - 2 * way))
        return self.other + share * (motion - self.other) if way < 1 else motion


class Player:
    """Plays scenes on one set of sessions, one per graph of the contract.

    `record(graph name, inputs)` is called before every run with copies of the inputs in the
    contract's layout: this is how calibration samples are collected. `motion` is what is done with
    a driver's motion; `UsageError` for what the model cannot heed.

    Every motion `begins` with another one, if that is set. `shown` is the motion [1, K, 6] that the
    still was last given, if any was.

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
        self.contract = contract
        self.needs = Needs.of(contract)
        self.timings: Timings = {}
        self.still_timings: Timings = {}
        self._sessions = dict(sessions)
        self._graphs = Graphs(contract, sessions, record)
        self._unrecorded = Graphs(contract, sessions, None)
        self._motion = motion or MotionOptions()
        self._motion.check(contract)
        self._transfer: Transfer | None = None
        self.begins: Beginning | None = None
        self.shown: Array | None = None

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

    def heeding(self, motion: MotionOptions) -> Player:
        """A player on the same sessions that does something else with a driver's motion. Only one
        of them may play at a time."""
        return Player(self.contract, self._sessions, motion=motion)

    def prepare(self, scene: Scene) -> Stills:
        """Do what is done once for the stills of `scene`, for all that `play` plays with them.
        `UsageError` for further stills in a model in which none can take over."""
        if len(scene.more_stills):
            self.needs.check_more_stills(self.contract)
        return Stills(self._graphs, scene, seen=self.needs.still)

    def play(
        self, scene: Scene, overlap: Overlap | None = None, stills: Stills | None = None
    ) -> Iterator[Picture]:
        """The frames of `scene`, uint8 [H, W, C], each a fresh array, as they are made. In an
        `overlap` the next driving frame is read, and what moves in it is found, while a frame is
        made; the frames are the same. Of a scene with the same stills and conditions its `stills`
        may have been prepared.

        A model that warps gives frames of the still's own size and transparency; one that paints
        gives frames of its own size, without the edges that fitting added. What the scene lacks is
        a `UsageError` at once; a driver of one frame, where motion is needed, is `BadInput`.
        """
        self.needs.check(scene, self.contract)
        if self._motion.refine and scene.driver is None:
            raise UsageError(
                "A stored motion has no frames by which it could be refined.",
                hint="Refine it when it is made, with `edgeanim motion extract --refine`.",
            )
        return self._play(scene, overlap, stills)

    def _play(
        self, scene: Scene, overlap: Overlap | None, stills: Stills | None
    ) -> Iterator[Picture]:
        trials = None
        if self._motion.refine and scene.driver is not None:
            frames = scene.driver if overlap is None else overlap.ahead(scene.driver)
            head, driver = _beginning(frames)
            scene = replace(scene, driver=driver)
            trials = self._trials(head[0], scene.conditions) if head else None
        stills = self.prepare(scene) if stills is None else stills
        stills.begin()
        self.still_timings = stills.timings
        first = stills.first
        transfer = self._motion_transfer(first.values, scene)
        steps = self._steps(scene, first.values, first.shown, overlap)
        if trials is not None:
            steps = refined_steps(steps, trials)
        for number, step in enumerate(smoothed_steps(steps) if self._motion.smooth else steps):
            self.timings = step.timings
            motion = None if step.motion is None else transfer(step.motion)
            if motion is not None and self.begins is not None:
                motion = self.begins.at(number, motion)
            self.shown = None if motion is None else motion.copy()
            yield stills.frame(step, motion)

    def _steps(
        self, scene: Scene, values: Values, still: Shown | None, overlap: Overlap | None
    ) -> Iterator[Step]:
        """What `_follow` finds; in an `overlap`, ahead of the frames that are made of it. Beside
        refining it takes hardly any time, and a camera's frame would only grow old."""
        keep = self._motion.smooth or self._motion.refine
        if overlap is None or scene.driver is None or self._motion.refine:
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
        for index, given in enumerate(self._given(scene)):
            timings: Timings = {}
            sight = {"still": still} if still is not None else {}
            moment = Moment(sight, scene.conditions, index)
            if isinstance(given, Shown):
                sight["driving_frame"] = given
                if self.needs.plays_pictures:
                    sight["still"] = given
                self._graphs.run("driver", values, moment, timings)
            elif given is not None:
                values.put("motion:driving", given)
            found = values.require("motion:driving") if self.needs.motion else None
            motion = found.copy() if found is not None and keep else found
            yield Step(moment, motion, timings)

    def _trials(self, first: Picture, conditions: Mapping[str, Array]) -> Trials:
        """What makes frames of motions to be tried, with a driver's `first` frame as the still;
        these runs are not recorded."""
        graphs, values = self._unrecorded, Values()
        still = self._shown(first)
        graphs.prepare(still, values, {}, conditions)
        small = small_still(first)
        compositor = graphs.compositor(small, self._shown(small))
        sight = {} if still is None else {"still": still}

        def make(index: int, motion: Array) -> Picture:
            values.put("motion:driving", motion)
            graphs.run("frame", values, Moment(sight, conditions, index), {})
            return graphs.finish(values, compositor, sight)

        return Trials(make, graphs.places(still))

    def _shown(self, frame: Picture) -> Shown | None:
        """A driver's frame as a still, if the model looks at one."""
        return Shown(frame, refused=BadDriver) if self.needs.still else None

    def _given(self, scene: Scene) -> Iterator[Shown | Array | None]:
        """What each output frame shows: a driving frame, a motion [1, K, 6] that was stored or
        comes, or, in a model that needs neither, nothing."""
        if scene.track is not None and self.needs.motion:
            motions = scene.track.motions()
            for motion in itertools.cycle(motions) if scene.looped else motions:
                yield motion[None]
        elif scene.motions is not None and self.needs.motion:
            for number, motion in enumerate(scene.motions):
                yield self._performed(motion, number)
        elif scene.driver is not None:
            yield from shown_frames(scene.driver, at_least=2 if self.needs.motion else 1)
        elif self.needs.plays_pictures and scene.still is not None:
            yield Shown(scene.still, refused=BadStill)
        else:
            yield None

    def _performed(self, motion: Array, number: int) -> Array:
        """One of a scene's `motions`, [1, K, 6]. `BadDriver` for one that no track could hold."""
        try:
            track = MotionTrack(np.asarray(motion, np.float32)[None], 1.0)
        except (ValueError, TypeError) as error:
            raise BadDriver(f"Motion {number}: {error}.") from error
        check_track(track, self.contract)
        return track.values

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


def _beginning(driver: Iterable[Picture]) -> tuple[list[Picture], Iterator[Picture]]:
    """The first frame, if there is one, and all of them. `ValueError` if it is no picture."""
    frames = iter(driver)
    head = list(itertools.islice(frames, 1))
    for picture in head:
        check_picture(picture, "frame 0 of the driver")
    return head, itertools.chain(head, frames)


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
