"""From what a user points at (photographs, clips, an .npz) to scenes to calibrate and judge on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.contract import CONDITION, Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import must_exist
from edgeanim.core.parsing import nearest
from edgeanim.quantize.calibration import check_samples, read_npz
from edgeanim.quantize.coverage import frame_features, k_center
from edgeanim.runtime.media import clips_in, pictures_in, read_frames, read_still
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.pictures import Fit, flatten, from_tensor
from edgeanim.runtime.scene import Picture, Scene, load_condition
from edgeanim.runtime.unmoved import blank, moments_told, repeated
from edgeanim.runtime.wiring import Needs, at_moments, conditions_at, moments

if TYPE_CHECKING:
    from edgeanim.core.artifact import Array

T = TypeVar("T")
Indices = NDArray[np.intp]

GOLDEN_FRAMES = 16
_HELD_OUT_EVERY = 4
_JUDGED_FRAMES = 64
_RUN = 4
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
    source: str | Path | None,
    inputs: Mapping[str, str | Path],
    *,
    limit: int,
    default: Material | None = None,
    option: str = "--calib",
) -> Material:
    """The material that `source` holds for this contract, at most about `limit` frames.

    An image-to-image model takes photographs, a clip or an .npz; every fourth frame is held out, or
    `GOLDEN_FRAMES` of those. A model that animates stills takes a clip or a folder of clips, each a
    scene whose first frame is the still; or a folder of stills, moved by the tracks of `default`.
    Without a source, `default`; the `UsageError` where there is none asks for `option`. Of a model
    that takes neither pictures nor motion, `inputs` alone make the frames.
    """
    conditions = read_conditions(contract, inputs)
    needs = Needs.of(contract)
    varied = any(len(values) > 1 for values in conditions.values())
    sees = needs.still or needs.motion or needs.frames
    if not (sees or varied):
        raise BadInput(
            f"The model {contract.name!r} takes neither a picture nor motion, so that all its "
            "frames would be one and the same.",
            hint="Give --input one value for each frame, along the first axis, or the input that "
            "changes from frame to frame another role in model.toml.",
        )
    if source is None:
        if not sees:
            return _of_inputs(contract, conditions, limit)
        if default is None:
            raise UsageError(
                f"Real frames are needed for {contract.name!r}.",
                hint=f"Give a folder of pictures, a clip or an .npz file with {option}.",
            )
        return default
    path = Path(source)
    must_exist(path)
    if not sees and path.suffix != _NPZ and path.is_dir() and not clips_in(path):
        raise UsageError(
            f"The model {contract.name!r} takes no picture.",
            where=path,
            hint=f"Leave out {option}: the values of --input are what its frames are made of.",
        )
    if not needs.plays_pictures:
        return _scenes(path, contract, conditions, limit, default)
    graph = _picture_graph(contract)
    if path.suffix == _NPZ:
        scene = _from_npz(path, graph, conditions)
    else:
        scene = _covering(path, contract, conditions, limit)
    return _split_pictures(scene, contract)


def scene_of(contract: Contract, source: str | Path, inputs: Mapping[str, str | Path]) -> Scene:
    """All pictures of `source` (at most 64, thinned to those that cover it) as one scene for an
    image-to-image model: to judge by, with nothing held out."""
    conditions = read_conditions(contract, inputs)
    return _covering(Path(source), contract, conditions, _JUDGED_FRAMES)


def read_conditions(contract: Contract, inputs: Mapping[str, str | Path]) -> dict[str, Array]:
    """The model's fixed inputs from `NAME=FILE` pairs; NAME is the tensor's or the role's name."""
    names = {}
    for graph in contract.graphs:
        for spec in graph.inputs:
            if spec.role.startswith(CONDITION):
                role = spec.role.removeprefix(CONDITION)
                names[role] = names[spec.name] = role
    values = {}
    for name, path in inputs.items():
        if name not in names:
            raise UsageError(
                f"The model {contract.name!r} has no fixed input {name!r}.",
                where=f"--input {name}",
                hint=nearest(name, list(names)),
            )
        values[names[name]] = load_condition(Path(path))
    return values


def thin(frames: Iterable[T], limit: int) -> list[T]:
    """At most `limit` frames, evenly spread, of a stream of unknown length, in bounded memory.

    Keeps every n-th frame and doubles n whenever twice as many as wanted have gathered.
    """
    kept: list[T] = []
    stride = 1
    for index, frame in enumerate(frames):
        if index % stride:
            continue
        kept.append(frame)
        if len(kept) >= 2 * limit:
            kept = kept[::2]
            stride *= 2
    return [kept[i] for i in evenly(len(kept), limit)]


def evenly(length: int, count: int) -> Indices:
    """The indices of at most `count` of `length` things, evenly spread from the first to the
    last."""
    if length <= count:
        return np.arange(length)
    return np.linspace(0, length - 1, count).round().astype(np.intp)


def _of_inputs(contract: Contract, conditions: Mapping[str, Array], limit: int) -> Material:
    """Frames that are made of `conditions` alone."""
    count = moments_told(conditions, contract)
    scene = Scene(driver=repeated(blank(contract), count), conditions=conditions)
    return _split_pictures(at_moments(scene, evenly(count, limit), contract), contract)


def _split_pictures(scene: Scene, contract: Contract) -> Material:
    every = np.arange(moments(scene))
    held = every[_HELD_OUT_EVERY - 1 :: _HELD_OUT_EVERY]
    held = held[evenly(len(held), GOLDEN_FRAMES)]
    separate = len(held) >= 2
    taught, judged = (np.setdiff1d(every, held), held) if separate else (every, every)
    return Material(
        (at_moments(scene, taught, contract),), at_moments(scene, judged, contract), separate
    )


def _scenes(
    path: Path,
    contract: Contract,
    conditions: Mapping[str, Array],
    limit: int,
    default: Material | None,
) -> Material:
    if path.suffix == _NPZ:
        raise UsageError(
            f"An .npz is for image-to-image models; {contract.name!r} animates stills.",
            where=path,
            hint="Give a clip or a folder of clips.",
        )
    clips = [path] if path.is_file() else clips_in(path)
    if clips:
        each = max(2, limit // len(clips))
        scenes = [_clip_scene(clip, contract, conditions, each) for clip in clips[:limit]]
    else:
        scenes = _still_scenes(path, conditions, default)
    if len(scenes) > 1:
        *taught, judged = scenes
        return Material(tuple(taught), _briefly(judged, contract), separate=True)
    return Material(tuple(scenes), _briefly(scenes[0], contract), separate=False)


def _clip_scene(
    path: Path, contract: Contract, conditions: Mapping[str, Array], limit: int
) -> Scene:
    count = 0

    def numbered() -> Iterator[tuple[int, Picture]]:
        nonlocal count
        for frame in read_frames(path):
            yield count, frame
            count += 1

    kept = thin(numbered(), limit)
    if len(kept) < 2:
        raise BadInput(
            "This is a clip of one frame.", where=path, hint="Motion needs at least two."
        )
    numbers, frames = zip(*kept, strict=True)
    own = conditions_at(conditions, np.array(numbers, np.intp), count, contract)
    return Scene(frames[0], np.stack(frames), None, own)


def _briefly(scene: Scene, contract: Contract) -> Scene:
    """`scene` with at most `GOLDEN_FRAMES` of its driver's frames, from the first to the last: in
    short runs, since a cue is what changed since the frame before."""
    count = moments(scene)
    if scene.driver is None or count <= GOLDEN_FRAMES:
        return scene
    starts = evenly(count - _RUN + 1, GOLDEN_FRAMES // _RUN)
    return at_moments(scene, (starts[:, None] + np.arange(_RUN)).ravel(), contract)


def _still_scenes(
    path: Path, conditions: Mapping[str, Array], default: Material | None
) -> list[Scene]:
    stills = pictures_in(path)
    tracks: list[MotionTrack] = []
    for scene in (*default.calibration, default.held_out) if default else ():
        if scene.track is not None:
            tracks.append(scene.track)
    if not tracks:
        raise UsageError("Stills alone do not say how to move.", where=path, hint="Give clips.")
    return [
        Scene(read_still(still), None, tracks[i % len(tracks)], conditions)
        for i, still in enumerate(stills)
    ]


def _pictures(path: Path) -> Iterator[Picture]:
    """The frames of a clip, or the pictures of a folder, which may be of any sizes; of those that
    are animated every frame."""
    if not path.is_dir():
        return read_frames(path)
    try:
        pictures = pictures_in(path)
    except BadInput as error:
        if clips := clips_in(path):
            error.hint = f"For an image-to-image model give one of its clips, {clips[0]} say."
        raise
    return (frame for picture in pictures for frame in read_frames(picture))


def _covering(path: Path, contract: Contract, conditions: Mapping[str, Array], limit: int) -> Scene:
    """At most `limit` pictures of `path` that cover its motion and brightness, in their order, and
    the conditions that are theirs; where a condition lists more values than there are pictures, as
    poses do for a portrait, each picture is shown for a while.

    Reads everything twice, first for features of every picture, so that only the chosen ones are
    ever held.
    """
    features = frame_features(_pictures(path))
    kept = k_center(features, limit)
    chosen = set(kept.tolist())
    picked = (frame for i, frame in enumerate(_pictures(path)) if i in chosen)
    frames = np.stack(list(_fitted(picked, _picture_input(_picture_graph(contract)))))
    told = moments_told(conditions, contract)
    if told > len(features):
        played = evenly(told, limit)
        own = conditions_at(conditions, played, told, contract)
        shown = np.arange(len(played)) * len(frames) // len(played)
        return Scene(driver=frames[shown], conditions=own)
    own = conditions_at(conditions, kept, len(features), contract)
    return Scene(driver=frames, conditions=own)


def _picture_graph(contract: Contract) -> GraphSpec:
    """The first graph of a frame that takes a picture; others may come before it."""
    graphs = contract.per_frame
    return next((g for g in graphs if g.input("driving_frame") or g.input("still")), graphs[0])


def _picture_input(graph: GraphSpec) -> TensorSpec:
    spec = graph.input("driving_frame") or graph.input("still")
    if spec is None:
        raise BadInput(f"The graph {graph.name!r} takes no picture.")
    return spec


def _fitted(frames: Iterable[Picture], spec: TensorSpec) -> Iterator[Picture]:
    for frame in frames:
        picture = flatten(frame)
        height, width = picture.shape[:2]
        yield Fit.of((height, width), spec.size, "cover").to_graph(picture, spec.size)


def _from_npz(path: Path, graph: GraphSpec, given: Mapping[str, Array]) -> Scene:
    """The samples as the frames of a driver, with the choice for each frame of every fixed input
    that is not `given`. A state is none of it: it goes from frame to frame as they are played."""
    picture = _picture_input(graph)
    roles = {
        tensor.name: tensor.role.removeprefix(CONDITION)
        for tensor in graph.inputs
        if tensor.role.startswith(CONDITION)
    }
    elsewhere = {
        tensor.name
        for tensor in graph.inputs
        if tensor is not picture and (tensor.name not in roles or roles[tensor.name] in given)
    }
    samples = read_npz(path, graph, optional=elsewhere)
    for name in sorted(elsewhere & set(samples.arrays)):
        if name in roles:
            raise UsageError(
                f"The file brings {roles[name]!r} for each sample.",
                where=path,
                hint=f"Leave out --input {roles[name]}.",
            )
        raise BadInput(
            f"The file brings {name!r}, which the model makes itself.",
            where=path,
            hint="Leave that array out: the samples are played in their order.",
        )
    brought = tuple(tensor for tensor in graph.inputs if tensor.name in samples.arrays)
    check_samples(samples, replace(graph, inputs=brought))
    frames = [from_tensor(sample[picture.name], picture) for sample in samples]
    conditions = dict(given)
    for name, role in roles.items():
        if name in samples.arrays:
            conditions[role] = np.concatenate([sample[name] for sample in samples])
    return Scene(driver=np.stack(frames), conditions=conditions)
