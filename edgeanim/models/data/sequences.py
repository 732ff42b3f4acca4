"""Sequences of frames to draw training pairs from, kept in memory as uint8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.data.clips.importers import clip_pictures, fit_of
from edgeanim.models.data.clips.mattes import mattes
from edgeanim.models.data.clips.scenes import SceneFinder
from edgeanim.models.data.clips.weak_labels import weak_labels
from edgeanim.models.data.puppets.actions import make_action
from edgeanim.models.data.puppets.puppet import NO_PART, Frame, make_puppet, render
from edgeanim.models.regions import BACKGROUND

STEP = 1 / 48
"""Time between a frame and the one before it, in periods of the action: 24 fps over two seconds."""
_MOST_FRAMES = 1800
"""Of a clip, in memory: with its labels and mattes a frame takes a megabyte."""


class Frames(Protocol):
    """Pictures by index: an array whose first axis is time, or what decodes them when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Parts:
    """What the frames of a drawn character are made of: `shown` uint8 [T, S, S], which part each
    pixel shows, `transforms` float32 [T, P, 2, 3] and `regions` uint8 [P] as `puppets` has them.

    Parts with the same number in `sheets` [P] are cut from one sheet, which lies flat in frame 0 if
    no transform there shifts, and is else what all transforms are from; `None` if each part is a
    sprite of its own.
    """

    shown: Frames
    transforms: NDArray[np.float32]
    regions: NDArray[np.uint8]
    sheets: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class FrameSequence:
    """Frames of one character. `pictures` uint8 [T, S, S, 3]; `before[t]` is the index of the frame
    just before frame t, or t itself where there is none.

    `parts` is `None` for a real clip, of which only the pictures are known. `weak_labels` uint8
    [T, S, S] are regions guessed from a real clip, `mattes` uint8 [T, S, S] where somebody is in
    it, and `rest` uint8 [S, S, 3] what it shows for most of the time.
    """

    name: str
    pictures: Frames
    before: tuple[int, ...]
    parts: Parts | None = None
    weak_labels: NDArray[np.uint8] | None = None
    mattes: NDArray[np.uint8] | None = None
    rest: NDArray[np.uint8] | None = None


def region_table(regions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """From a part's index to its region's, for all 256 values; the backdrop is `BACKGROUND`."""
    table = np.full(NO_PART + 1, BACKGROUND, np.uint8)
    table[: len(regions)] = regions
    return table


def parts_of(
    frames: Sequence[Frame], regions: NDArray[np.uint8], sheets: NDArray[np.uint8] | None = None
) -> Parts:
    """What drawn `frames` are made of."""
    shown = np.stack([frame.parts for frame in frames])
    return Parts(shown, np.stack([frame.transforms for frame in frames]), regions, sheets)


def paired_sequence(
    name: str,
    frames: Sequence[Frame],
    regions: NDArray[np.uint8],
    sheets: NDArray[np.uint8] | None = None,
) -> FrameSequence:
    """Drawn `frames`, of which every second one has the one before it."""
    return FrameSequence(
        name,
        np.stack([frame.picture for frame in frames]),
        tuple(i if i % 2 == 0 else i - 1 for i in range(len(frames))),
        parts_of(frames, regions, sheets),
    )


def spread_times(rng: np.random.Generator, moments: int) -> list[float]:
    """So many times of an action's period, a random one of each equal part of it."""
    times: list[float] = ((np.arange(moments) + rng.uniform(0, 1, moments)) / moments).tolist()
    return times


def puppet_sequence(seed: int, times: Sequence[float]) -> FrameSequence:
    """The puppet of this seed in its action at the given times, each with the frame before it."""
    puppet = make_puppet(seed)
    action = make_action(seed, puppet.kind)
    frames = [render(puppet, action.pose(t)) for time in times for t in (time - STEP, time)]
    return paired_sequence(f"puppet {seed}", frames, puppet.regions)


def puppet_at_moments(seed: int, moments: int) -> FrameSequence:
    """The puppet of this seed at `moments` times spread over its action."""
    return puppet_sequence(seed, spread_times(np.random.default_rng([seed, 3]), moments))


def puppet_sequences(
    seeds: Sequence[int], moments: int, progress: Progress = SILENT
) -> list[FrameSequence]:
    """A sequence per seed, at `moments` times spread over its action."""
    if not seeds:
        return []
    progress.stage("drawing puppets", len(seeds))
    sequences = []
    for seed in seeds:
        sequences.append(puppet_at_moments(seed, moments))
        progress.step()
    progress.done()
    return sequences


def clip_sequences(path: Path) -> list[FrameSequence]:
    """The scenes of a real clip, their middle square scaled to the canvas, or the whole picture of
    what is drawn on a plain ground; of more than 1,800 frames moments spread over them, each with
    the frame before it. `BadInput` if it does not decode."""
    finder = SceneFinder()
    kept = dict(spread_moments(finder.watch(clip_pictures(path, fit=fit_of(path))), _MOST_FRAMES))
    return scenes_of(path, kept, finder.scenes())


def scenes_of(
    path: Path, kept: Mapping[int, NDArray[np.uint8]], scenes: Sequence[range]
) -> list[FrameSequence]:
    """The pictures that were `kept` of the clip `path`, by their numbers, as a sequence for each of
    its `scenes` of which there are two or more. `BadInput` if there is none."""
    several = [
        {number: picture for number, picture in kept.items() if number in scene} for scene in scenes
    ]
    found = [pictures for pictures in several if len(pictures) > 1]
    if not found:
        return [pictures_alone(path, kept)]
    names = [path.stem, *(f"{path.stem}, scene {number}" for number in range(2, len(found) + 1))]
    return [
        replace(pictures_alone(path, pictures), name=name)
        for name, pictures in zip(names, found, strict=True)
    ]


def spread_moments(
    pictures: Iterable[NDArray[np.uint8]], most: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """All `pictures` with their numbers or, of more than `most`, every fourth (eighth, and so on)
    and the one before each; never holds more than those."""
    kept: dict[int, NDArray[np.uint8]] = {}
    stride = 1
    for number, picture in enumerate(pictures):
        if not _is_kept(number, stride):
            continue
        kept[number] = picture
        if len(kept) > most:
            # Every second with the one before it would be all of them.
            stride = max(4, 2 * stride)
            kept = {n: each for n, each in kept.items() if _is_kept(n, stride)}
    yield from kept.items()


def _is_kept(number: int, stride: int) -> bool:
    return number % stride in (0, stride - 1)


def weakly_labelled(clip: FrameSequence, *, cut_out: bool = False) -> FrameSequence:
    """A real clip with what weak labels tell of it, and with mattes if it is to be `cut_out`."""
    stack = np.asarray(clip.pictures)
    labels = weak_labels(stack)
    cut = mattes(stack, labels) if labels is not None and cut_out else None
    return replace(clip, weak_labels=labels, mattes=cut)


def three_of(clip: FrameSequence, ends: tuple[int, int]) -> tuple[FrameSequence, tuple[int, int]]:
    """The three frames of a real clip that a pair of a still and a driving frame needs, the one
    before the driving frame between them, as a clip; and where the pair's `ends` are in it."""
    still, driving = ends
    frames = [still, clip.before[driving], driving]
    three = replace(
        clip,
        pictures=np.stack([clip.pictures[i] for i in frames]),
        before=(0, 1, 1),
        weak_labels=None if clip.weak_labels is None else clip.weak_labels[frames],
        mattes=None if clip.mattes is None else clip.mattes[frames],
    )
    return three, (0, 2)


def pictures_alone(path: Path, kept: Mapping[int, NDArray[np.uint8]]) -> FrameSequence:
    """The clip `path`, of which nothing is known but pictures by their numbers, in their order;
    `BadInput` if they are less than two."""
    if len(kept) < 2:
        raise BadInput(
            "This is not a clip of two frames or more.", where=path, hint="Give one that moves."
        )
    places = {number: place for place, number in enumerate(kept)}
    before = tuple(places.get(number - 1, place) for number, place in places.items())
    return FrameSequence(path.stem, np.stack(list(kept.values())), before)
