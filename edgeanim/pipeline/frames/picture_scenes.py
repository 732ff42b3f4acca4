"""Pictures of any sizes, or samples of an .npz, as the scene of a model that takes a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.core.contract import CONDITION, Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.pipeline.frames.files import pictures_of
from edgeanim.quantize.calibration.checks import checked_array
from edgeanim.quantize.calibration.coverage import evenly, frame_features, in_runs, k_center
from edgeanim.quantize.calibration.samples import ArraySamples, check_samples, read_npz
from edgeanim.runtime.input_scenes import moments_told
from edgeanim.runtime.media import clips_in, read_frames
from edgeanim.runtime.moments import conditions_at
from edgeanim.runtime.needs import Needs
from edgeanim.runtime.pictures import Fit, flatten, from_tensor
from edgeanim.runtime.scene import Picture, Scene

if TYPE_CHECKING:
    from edgeanim.core.artifact import Array


def covering(
    pictures: Callable[[], Iterator[Picture]],
    contract: Contract,
    conditions: Mapping[str, Array],
    limit: int,
) -> Scene:
    """At most `limit` of `pictures` that cover their motion and brightness, in their order, and the
    conditions that are theirs; where a condition lists more values than there are pictures, as
    poses do for a portrait, each picture is shown for a while. A model that looks back is shown
    short runs of them.

    Goes through all of them twice, first for features of every picture, so that only the chosen
    ones are ever held.
    """
    features = frame_features(pictures())
    if Needs.of(contract).looks_back:
        kept = in_runs(len(features), limit)
    else:
        kept = k_center(features, limit)
    chosen = set(kept.tolist())
    picked = (frame for i, frame in enumerate(pictures()) if i in chosen)
    fitted = list(_fitted(picked, _picture_input(picture_graph(contract))))
    if len(fitted) < len(kept):
        raise BadInput(f"{len(features)} frames were read the first time, fewer the second.")
    frames = np.stack(fitted)
    told = moments_told(conditions, contract)
    if told > len(features):
        played = evenly(told, limit)
        own = conditions_at(conditions, played, told, contract)
        shown = np.arange(len(played)) * len(frames) // len(played)
        return Scene(driver=frames[shown], conditions=own)
    own = conditions_at(conditions, kept, len(features), contract)
    return Scene(driver=frames, conditions=own)


def from_npz(path: Path, graph: GraphSpec, given: Mapping[str, Array]) -> Scene:
    """The samples as the frames of a driver, with the choice for each frame of every fixed input
    that is not `given`. A state is none of it: it goes from frame to frame as they are played."""
    samples = read_npz(path, graph, optional=_made_elsewhere(graph, given))
    return _of_samples(samples, graph, given, path)


def from_samples(
    samples: Sequence[Mapping[str, Array]], graph: GraphSpec, given: Mapping[str, Array], name: str
) -> Scene:
    """The same for samples that a program gave, each a mapping like those of an .npz; `name` is
    what gave them."""
    known = {tensor.name for tensor in graph.inputs}
    names = known - (_made_elsewhere(graph, given) - set(samples[0]))
    for sample in samples:
        if unknown := sorted(set(sample) - known):
            raise BadInput(
                f"The graph has no input {unknown[0]!r}.",
                where=name,
                hint=f"Its inputs are {', '.join(sorted(known))}.",
            )
    arrays = {
        tensor.name: np.stack(
            [checked_array(sample, tensor, i) for i, sample in enumerate(samples)]
        )
        for tensor in graph.inputs
        if tensor.name in names
    }
    return _of_samples(ArraySamples(arrays), graph, given, name)


def picture_graph(contract: Contract) -> GraphSpec:
    """The first graph of a frame that takes a picture; others may come before it."""
    graphs = contract.per_frame
    return next((g for g in graphs if g.input("driving_frame") or g.input("still")), graphs[0])


def pictures_at(path: Path) -> Iterator[Picture]:
    """The frames of a clip, or the pictures of a folder, which may be of any sizes; of those that
    are animated every frame."""
    if not path.is_dir():
        return read_frames(path)
    try:
        pictures = pictures_of(path)
    except BadInput as error:
        if clips := clips_in(path):
            error.hint = f"For an image-to-image model give one of its clips, {clips[0]} say."
        raise
    return (frame for picture in pictures for frame in read_frames(picture))


def _made_elsewhere(graph: GraphSpec, given: Mapping[str, Array]) -> set[str]:
    """The names of the inputs that no sample has to bring: those that are `given` by their role,
    and what graphs make."""
    picture, roles = _picture_input(graph), _roles(graph)
    return {
        tensor.name
        for tensor in graph.inputs
        if tensor is not picture and (tensor.name not in roles or roles[tensor.name] in given)
    }


def _roles(graph: GraphSpec) -> dict[str, str]:
    """What each fixed input of `graph` is called by its role, by its name."""
    return {
        tensor.name: tensor.role.removeprefix(CONDITION)
        for tensor in graph.inputs
        if tensor.role.startswith(CONDITION)
    }


def _of_samples(
    samples: ArraySamples, graph: GraphSpec, given: Mapping[str, Array], where: str | Path
) -> Scene:
    roles = _roles(graph)
    for name in sorted(_made_elsewhere(graph, given) & set(samples.arrays)):
        if name in roles:
            raise UsageError(
                f"There is a {roles[name]!r} for each sample.",
                where=where,
                hint=f"Leave out --input {roles[name]}.",
            )
        raise BadInput(
            f"The samples bring {name!r}, which the model makes itself.",
            where=where,
            hint="Leave that array out: the samples are played in their order.",
        )
    brought = tuple(tensor for tensor in graph.inputs if tensor.name in samples.arrays)
    check_samples(samples, replace(graph, inputs=brought))
    picture = _picture_input(graph)
    frames = [from_tensor(sample[picture.name], picture) for sample in samples]
    conditions = dict(given)
    for name, role in roles.items():
        if name in samples.arrays:
            conditions[role] = np.concatenate([sample[name] for sample in samples])
    return Scene(driver=np.stack(frames), conditions=conditions)


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
