"""From what a user points at (photographs, clips, an .npz), or what a program gives, to scenes to
calibrate and judge on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.core.contract import CONDITION, Contract
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import must_exist
from edgeanim.core.parsing import nearest
from edgeanim.pipeline.frames.files import clips_of, pictures_of
from edgeanim.pipeline.frames.given import Given, Source
from edgeanim.pipeline.frames.picture_scenes import (
    covering,
    from_npz,
    from_samples,
    picture_graph,
    pictures_at,
)
from edgeanim.pipeline.frames.still_scenes import clip_scene, moved_by_inputs, moved_by_tracks
from edgeanim.quantize.calibration.coverage import RUN, evenly, in_runs
from edgeanim.runtime.input_scenes import blank, moments_told, repeated
from edgeanim.runtime.media import is_still, read_frames
from edgeanim.runtime.moments import at_moments, choose, moments
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.scene import Scene, load_condition

if TYPE_CHECKING:
    from edgeanim.core.artifact import Array

GOLDEN_FRAMES = 16
_HELD_OUT_EVERY = 4
_JUDGED_FRAMES = 64
_NPZ = ".npz"
NOT_HELD_OUT = (
    "The frames judged on are those that the model was fitted to, as there were too few to keep "
    f"some out, so they flatter it. Give at least {2 * _HELD_OUT_EVERY} pictures (or samples of an "
    ".npz), or two clips or stills for a model that animates stills."
)
"""What a user is told where a `Material` is not `separate`."""


@dataclass(frozen=True)
class Material:
    """Scenes to calibrate on, and one to judge by. Drivers are arrays, so they can be replayed.

    `separate` says whether the judged frames were kept out of calibration; with too few frames
    they cannot be.
    """

    calibration: tuple[Scene, ...]
    held_out: Scene
    separate: bool


def gather(
    contract: Contract,
    source: Source | None,
    inputs: Mapping[str, str | Path],
    *,
    limit: int,
    default: Material | None = None,
    option: str = "--calib",
) -> Material:
    """The material that `source` holds for this contract, at most about `limit` frames: a path, or
    what a program gives (see `given.Frames`).

    An image-to-image model takes photographs, a clip or an .npz; every fourth frame is held out, or
    `GOLDEN_FRAMES` of those. A model that animates stills takes a clip or a folder of clips, each a
    scene whose first frame is the still; or a still or a folder of them, moved by the tracks of
    `default`, or by `inputs` with a value for each frame if that is all that moves the model. See
    `frames.files` for what counts as in a folder. Without a source, `default`; the `UsageError`
    where there is none asks for `option`. Of a model that takes neither pictures nor motion,
    `inputs` alone make the frames.
    """
    conditions = read_conditions(contract, inputs)
    needs = Needs.of(contract)
    _must_vary(contract, conditions)
    if source is None:
        if not needs.sees:
            return _of_inputs(contract, conditions, limit)
        if default is None:
            raise UsageError(
                f"Real frames are needed for {contract.name!r}.",
                hint=f"Give a folder of pictures, a clip or an .npz file with {option}.",
            )
        return default
    if not isinstance(source, (str, Path)):
        return _of_program(Given(source), contract, conditions, limit)
    path = Path(source)
    must_exist(path)
    if not needs.sees and path.suffix != _NPZ and path.is_dir() and not clips_of(path):
        raise UsageError(
            f"The model {contract.name!r} takes no picture.",
            where=path,
            hint=f"Leave out {option}: the values of --input are what its frames are made of.",
        )
    if not needs.plays_pictures:
        return _animated(path, contract, conditions, limit, default)
    graph = picture_graph(contract)
    if path.suffix == _NPZ:
        scene = from_npz(path, graph, conditions)
    else:
        scene = covering(lambda: pictures_at(path), contract, conditions, limit)
    return _split_pictures(scene, contract)


def scene_of(contract: Contract, source: str | Path, inputs: Mapping[str, str | Path]) -> Scene:
    """All pictures of `source` (at most 64, thinned to those that cover it) as one scene for an
    image-to-image model: to judge by, with nothing held out."""
    conditions = read_conditions(contract, inputs)
    return covering(lambda: pictures_at(Path(source)), contract, conditions, _JUDGED_FRAMES)


def read_conditions(contract: Contract, inputs: Mapping[str, str | Path]) -> dict[str, Array]:
    """The model's fixed inputs from `NAME=FILE` pairs; NAME is the tensor's or the role's name."""
    specs = [spec for graph in contract.graphs for spec in graph.inputs]
    roles = {spec.name: spec.role for spec in specs}
    known = {}
    for spec in specs:
        if spec.role.startswith(CONDITION):
            known[spec.role.removeprefix(CONDITION)] = known[spec.name] = spec
    values = {}
    for name, path in inputs.items():
        if name not in known:
            taken = f"It is taken for `{roles.get(name)}`; model.toml can say `{CONDITION}NAME`."
            raise UsageError(
                f"The model {contract.name!r} has no fixed input {name!r}.",
                where=f"--input {name}",
                hint=taken if name in roles else nearest(name, list(known)),
            )
        spec, array = known[name], load_condition(Path(path))
        choose(array, spec, 0)  # refuses what has another shape
        values[spec.role.removeprefix(CONDITION)] = array
    return values


def _must_vary(contract: Contract, conditions: Mapping[str, Array]) -> None:
    """`BadInput` where nothing that the model is given changes from frame to frame."""
    varied = any(len(values) > 1 for values in conditions.values())
    if not (Needs.of(contract).sees or varied):
        raise BadInput(
            f"The model {contract.name!r} takes neither a picture nor motion, so that all its "
            "frames would be one and the same.",
            hint="Give --input one value for each frame, along the first axis, or the input that "
            "changes from frame to frame another role in model.toml.",
        )


def _of_program(
    given: Given, contract: Contract, conditions: Mapping[str, Array], limit: int
) -> Material:
    """What a program gave, by what the model plays and what it gave."""
    if not Needs.of(contract).plays_pictures:
        each = max(2, limit // given.count(limit))
        scenes = [
            clip_scene(clip, contract, conditions, each, f"{given.name}, clip {i}")
            for i, clip in enumerate(given.clips(limit))
        ]
        return _split_scenes(scenes, contract)
    if given.are_samples:
        graph = picture_graph(contract)
        scene = from_samples(given.samples(limit), graph, conditions, given.name)
    else:
        scene = covering(given.pictures, contract, conditions, limit)
    return _split_pictures(scene, contract)


def _of_inputs(contract: Contract, conditions: Mapping[str, Array], limit: int) -> Material:
    """Frames that are made of `conditions` alone."""
    count = moments_told(conditions, contract)
    scene = Scene(driver=repeated(blank(contract), count), conditions=conditions)
    return _split_pictures(at_moments(scene, evenly(count, limit), contract), contract)


def _split_pictures(scene: Scene, contract: Contract) -> Material:
    every = np.arange(moments(scene))
    if Needs.of(contract).looks_back:
        held = every[every[::-1] // RUN % _HELD_OUT_EVERY == 0]
        held = held[in_runs(len(held), GOLDEN_FRAMES)]
    else:
        held = every[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
        held = held[evenly(len(held), GOLDEN_FRAMES)]
    separate = len(held) >= 2
    taught, judged = (np.setdiff1d(every, held), held) if separate else (every, every)
    return Material(
        (at_moments(scene, taught, contract),), at_moments(scene, judged, contract), separate
    )


def _animated(
    path: Path,
    contract: Contract,
    conditions: Mapping[str, Array],
    limit: int,
    default: Material | None,
) -> Material:
    """The material for a model that animates stills: of clips, or of stills and what moves them."""
    if path.suffix == _NPZ:
        raise UsageError(
            f"An .npz is for image-to-image models; {contract.name!r} animates stills.",
            where=path,
            hint="Give a clip or a folder of clips.",
        )
    clips = [] if is_still(path) else clips_of(path)
    if clips:
        each = max(2, limit // len(clips))
        scenes = [
            clip_scene(read_frames(clip), contract, conditions, each, clip)
            for clip in clips[:limit]
        ]
        return _split_scenes(scenes, contract)
    stills = [path] if is_still(path) else pictures_of(path)
    needs = Needs.of(contract)
    if needs.motion or needs.frames:
        scenes = moved_by_tracks(stills, _tracks(default), conditions, path)
        return _split_scenes(scenes, contract)
    scenes = moved_by_inputs(stills, contract, conditions, limit, path)
    if len(scenes) > 1:
        return _split_scenes(scenes, contract)
    # With a single still, some of its frames are held out, as of a model that takes pictures.
    return _split_pictures(scenes[0], contract)


def _tracks(material: Material | None) -> list[MotionTrack]:
    scenes = (*material.calibration, material.held_out) if material else ()
    return [scene.track for scene in scenes if scene.track is not None]


def _split_scenes(scenes: list[Scene], contract: Contract) -> Material:
    if len(scenes) > 1:
        *taught, judged = scenes
        return Material(tuple(taught), _briefly(judged, contract), separate=True)
    return Material(tuple(scenes), _briefly(scenes[0], contract), separate=False)


def _briefly(scene: Scene, contract: Contract) -> Scene:
    """`scene` with at most `GOLDEN_FRAMES` of its driver's frames, from the first to the last: in
    short runs, since a cue is what changed since the frame before."""
    count = moments(scene)
    if scene.driver is None or count <= GOLDEN_FRAMES:
        return scene
    return at_moments(scene, in_runs(count, GOLDEN_FRAMES), contract)
