"""What a model needs of a scene, read off its contract's roles."""

from __future__ import annotations

from dataclasses import dataclass

from edgeanim.core.contract import CONDITION, IMAGE_ROLES, OF_STILL, Contract
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.parsing import nearest
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.pictures import picture_range
from edgeanim.runtime.scene import BadDriver, Scene

_LOOKING_BACK = {"previous_frame", "cue"}
_SAME_MODEL = "Use a track that was made with this model."


@dataclass(frozen=True)
class Needs:
    """What a contract asks of a scene, and what it gives.

    `still`: a picture to animate. `motion`: a driver or a stored track. `frames`: the driver's
    frames themselves. `plays_pictures`: an image-to-image model, which plays every driving frame
    on its own and keeps no still. `looks_back`: it takes the frame before, or what changed since.
    """

    still: bool
    motion: bool
    frames: bool
    plays_pictures: bool
    looks_back: bool
    conditions: tuple[str, ...]

    @property
    def sees(self) -> bool:
        """Whether frames are made of a picture, or of motion: else of conditions alone."""
        return self.still or self.motion or self.frames

    @property
    def moves_alone(self) -> bool:
        """Whether all that frames take from the driver is its motion."""
        return self.motion and not self.frames

    @staticmethod
    def of(contract: Contract) -> Needs:
        """Read them off the roles; `BadInput` if nothing in it makes a picture."""
        _check_outputs(contract)
        asked = {spec.role for graph in contract.per_frame for spec in graph.inputs}
        everywhere = {spec.role for graph in contract.graphs for spec in graph.inputs}
        followed = {
            spec.role
            for graph in contract.graphs
            if graph.runs == "driver"
            for spec in graph.outputs
            if spec.role not in OF_STILL
        }
        motion = bool({"motion", "motion:driving"} & asked)
        flow = any(graph.output("flow") for graph in contract.per_frame)
        follows = any(graph.runs == "driver" for graph in contract.graphs)
        once = {
            spec.role for graph in contract.graphs if graph.runs == "once" for spec in graph.inputs
        }
        pictures = {"still", "driving_frame"} & asked
        plays = len(pictures) == 1 and "still" not in once and not (follows or motion or flow)
        return Needs(
            still=not plays
            and (flow or bool({"still", "motion:still", "mask:still"} & everywhere)),
            motion=motion,
            frames=plays or bool({"driving_frame", *_LOOKING_BACK, "mask", *followed} & asked),
            plays_pictures=plays,
            looks_back=bool(_LOOKING_BACK & everywhere),
            conditions=tuple(
                sorted(r.removeprefix(CONDITION) for r in everywhere if r.startswith(CONDITION))
            ),
        )

    def check(self, scene: Scene, contract: Contract) -> None:
        """`UsageError` that names the option if `scene` lacks what the contract needs."""
        self._check_moving(scene, contract)
        self._check_track(scene, contract)
        if self.still and scene.still is None:
            raise UsageError(
                f"The model {contract.name!r} animates a still, and none is given.",
                hint="Add one with --still IMAGE.",
            )
        if len(scene.more_stills):
            self.check_more_stills(contract)
        for name in self.conditions:
            if name not in scene.conditions:
                raise UsageError(
                    f"The model {contract.name!r} needs a value for its input {name!r}.",
                    hint=f"Give one with --input {name}=FILE.npy.",
                )
        for name in scene.conditions:
            if name not in self.conditions:
                raise UsageError(
                    f"The model {contract.name!r} has no input {name!r} to set.",
                    hint=nearest(name, self.conditions) if self.conditions else None,
                )

    def check_more_stills(self, contract: Contract) -> None:
        """`UsageError` unless each frame may be made of another still than the one before: it has
        to be made of nothing but a still, whose pose can be found, and a motion."""
        poses = self.still and self.moves_alone and _finds_motion(contract)
        if not poses or contract.remembers:
            raise UsageError(
                f"The model {contract.name!r} does not make its frames of a still and the motion "
                "of its regions alone, so no other still can take over.",
                hint="Leave out --more-stills.",
            )

    def _check_moving(self, scene: Scene, contract: Contract) -> None:
        has_still = self.plays_pictures and scene.still is not None
        moves_alone = scene.track is not None or scene.motions is not None
        if self.frames and scene.driver is None and not has_still:
            stored = "; a stored motion is not enough" if moves_alone else ""
            raise UsageError(
                f"The model {contract.name!r} needs the frames of a driver{stored}.",
                hint="Give a clip, a folder of pictures or a camera with --drive.",
            )
        if self.motion and scene.driver is None and not moves_alone:
            raise UsageError(
                f"The model {contract.name!r} needs a motion to show.",
                hint="Give a clip, a motion track or a camera with --drive.",
            )
        if self.motion and not moves_alone and not _finds_motion(contract):
            raise UsageError(
                f"The model {contract.name!r} cannot find the motion in a driver's frames.",
                hint=_how_to_find_motion(contract),
            )

    def _check_track(self, scene: Scene, contract: Contract) -> None:
        if scene.track is None and scene.motions is None:
            return
        if not self.motion:
            raise UsageError(
                f"The model {contract.name!r} cannot be driven by a stored motion.",
                hint="Give a clip with --drive, or an --input of one value for each frame.",
            )
        if scene.track is not None:
            check_track(scene.track, contract)


def check_track(track: MotionTrack, contract: Contract) -> None:
    """`BadDriver` for motion of other regions than those of the model."""
    for graph in contract.per_frame:
        for spec in graph.inputs:
            moves = spec.role in ("motion", "motion:driving")
            if moves and spec.shape != (1, *track.values.shape[1:]):
                raise BadDriver(
                    f"The motion track has {track.values.shape[1]} regions, but the model "
                    f"{contract.name!r} takes motion of the shape {list(spec.shape)}.",
                    hint=_SAME_MODEL,
                )
    theirs, ours = track.regions, contract.regions
    if theirs is not None and ours is not None and theirs != ours:
        raise BadDriver(
            f"The motion track is of the regions {'; '.join(theirs)}, but the model "
            f"{contract.name!r} has {'; '.join(ours)}.",
            hint=_SAME_MODEL,
        )


def _finds_motion(contract: Contract) -> bool:
    """Whether the motion in a driver's frames can be found, and so the pose of a still."""
    return any(graph.runs == "driver" and graph.output("motion") for graph in contract.graphs)


def _how_to_find_motion(contract: Contract) -> str:
    for graph in contract.per_frame:
        if graph.output("motion"):
            return (
                f"Its graph {graph.name!r} finds motion, but runs for each frame that is made: "
                'give it runs = "driver" in model.toml.'
            )
    return "Give a stored motion track with --drive."


def _check_outputs(contract: Contract) -> None:
    made = {spec.role for graph in contract.per_frame for spec in graph.outputs}
    if "frame" not in made and "flow" not in made:
        raise BadInput(
            f"No graph of the model {contract.name!r} makes a picture.",
            hint="One that runs for every frame needs an output with the role `frame` or `flow`.",
        )
    if "frame" not in made and ("alpha" in made) != ("colour" in made):
        raise BadInput(
            f"The model {contract.name!r} gives only one of `alpha` and `colour`.",
            hint="Blending needs both.",
        )
    for graph in contract.graphs:
        for spec in (*graph.inputs, *graph.outputs):
            if spec.role in IMAGE_ROLES:
                picture_range(spec)
