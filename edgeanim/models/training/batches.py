"""Batches for training: drawn anew from the step's number alone, so that a resumed run agrees."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from psutil import virtual_memory
from torch import Tensor

from edgeanim.core.errors import BadInput
from edgeanim.core.parsing import nearest
from edgeanim.core.progress import Progress
from edgeanim.core.threads import in_threads
from edgeanim.models.data.augmentation import Augmentation, random_augmentation
from edgeanim.models.data.clips.bends import at_rest, bent
from edgeanim.models.data.clips.disguise import disguised
from edgeanim.models.data.clips.scenes import anything_moves
from edgeanim.models.data.media import some_clips_in
from edgeanim.models.data.pairs import Pair, make_pair
from edgeanim.models.data.sequences import (
    FrameSequence,
    clip_sequences,
    puppet_sequences,
    weakly_labelled,
)
from edgeanim.models.dataset.reader import FrameCache, decode_ahead, entries_of, read_sequences
from edgeanim.models.training.config import DataConfig
from edgeanim.targets.machine import read_machine

_FROM_THE_START = 0.5
"""Share of a clip's pairs whose still is its first frame, as it is when the clip is a driver."""


@dataclass(frozen=True)
class Batch:
    """The fields of `data.pairs.Pair`, stacked; labels as int64."""

    still: Tensor
    driving: Tensor
    cue: Tensor
    label_still: Tensor
    label_driving: Tensor
    direction_still: Tensor
    direction_driving: Tensor
    flow: Tensor
    visible: Tensor
    flow_weight: Tensor
    visible_weight: Tensor
    known: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch, in the same layout, on `device`; not waited for if it is pinned."""
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def pin_memory(self) -> Batch:
        """The same batch where an accelerator fetches it by itself."""
        return Batch(*(getattr(self, f.name).pin_memory() for f in fields(self)))


@dataclass(frozen=True)
class Material:
    """The sequences that training draws from: the seeds' puppets and the scenes of the folder's
    clips, `scenes` in number, each followed by what datasets have."""

    puppets: tuple[FrameSequence, ...]
    clips: tuple[FrameSequence, ...]
    scenes: int = 0


def load_material(config: DataConfig, progress: Progress, workers: int = 0) -> Material:
    """Draw the puppets, read the clips and open the datasets, whose frames are decoded when used.
    For `workers`, processes that are forked, as many as half of the free memory holds are decoded
    before.

    `BadInput` names a clip that is not there, or a dataset that cannot be trusted; one that teaches
    nothing before anything is drawn.
    """
    _check_datasets(config)
    threads = max(1, workers)
    clips = _read_clips(config, threads, progress)
    scenes = len(clips)
    seeds = range(config.first_seed, config.first_seed + config.puppets)
    puppets = puppet_sequences(seeds, config.moments, progress)
    cache = FrameCache(_half_of_memory()) if workers else FrameCache()
    for folder in config.datasets or ():
        for sequence in read_sequences(
            folder, "train", cache=cache, threads=threads, progress=progress
        ):
            (clips if sequence.parts is None else puppets).append(sequence)
    if workers and config.datasets:
        decode_ahead((*puppets, *clips), cache, threads, progress)
    return Material(tuple(puppets), tuple(clips), scenes)


def _check_datasets(config: DataConfig) -> None:
    """`BadInput` for a dataset without a training split, and if nothing at all has masks."""
    folders = config.datasets or ()
    known = [entry.known for folder in folders for entry in entries_of(folder, "train")]
    if not config.puppets and not any(known):
        raise BadInput(
            "No sequence for train in these datasets has masks to learn from.",
            where=", ".join(map(str, folders)),
            hint="Let `puppets` be 1 or more, or add some: `edgeanim dataset make --split train`.",
        )


def _half_of_memory() -> int:
    """Half of the bytes that this process may take; a container may have fewer than are free."""
    free: int = virtual_memory().available
    return min(free, read_machine().memory_mb << 20) // 2


def clip_files(config: DataConfig) -> list[Path]:
    """The clips that are used; `BadInput` names one that is not there."""
    if config.clips is None:
        return []
    found = some_clips_in(config.clips)
    return [_called(name, found, config.clips) for name in config.clip_names]


def _read_clips(config: DataConfig, threads: int, progress: Progress) -> list[FrameSequence]:
    paths = clip_files(config)
    if not paths:
        return []
    progress.stage("reading clips", len(paths))
    clips: list[FrameSequence] = []
    for path in paths:
        clips += clip_sequences(path)
        progress.step(note=path.name)
    told = [f"cuts make {len(clips)} scenes of them"] if len(clips) > len(paths) else []
    moves = [anything_moves(np.asarray(clip.pictures)) for clip in clips]
    moving = [clip for clip, does in zip(clips, moves, strict=True) if does]
    resting = ", ".join(clip.name for clip, does in zip(clips, moves, strict=True) if not does)
    if not moving:
        raise BadInput(
            f"Nothing moves in {resting}: there is nothing to learn from it.",
            where=config.clips,
            hint="Give clips that show the motion you want later.",
        )
    if resting:
        told.append(f"nothing moves in {resting}, which is left out")
    clips = moving
    progress.done("; ".join(told))
    if config.weak_labels:
        progress.stage("looking for faces and hands", len(clips))
        label = partial(weakly_labelled, cut_out=config.disguise_clips)
        clips = in_threads(label, clips, threads, progress)
        labelled = sum(clip.weak_labels is not None for clip in clips)
        progress.done(f"found in {labelled} of {len(clips)}")
    if config.bend_clips:
        clips = [replace(clip, rest=at_rest(clip.pictures)) for clip in clips]
    return clips


def _called(name: str, clips: list[Path], folder: Path) -> Path:
    """The clip of this name, with or without its suffix; `BadInput` unless there is exactly one."""
    called = [path for path in clips if path.name == name] or [
        path for path in clips if path.stem == name
    ]
    if not called:
        raise BadInput(
            f"There is no clip called {name!r} here.",
            where=folder,
            hint=nearest(name, [path.name for path in clips]),
        )
    if len(called) > 1:
        names = " and ".join(path.name for path in called)
        raise BadInput(
            f"{len(called)} clips here are called {name!r}: {names}.",
            where=folder,
            hint="Give their suffixes in `clip_names`.",
        )
    return called[0]


def draw_batch(
    material: Material, config: DataConfig, size: int, count: int, key: tuple[int, ...]
) -> Batch:
    """`count` pairs at `size` pixels; the same ones for the same `key`.

    The first ones are from clips, so that a batch of a size always mixes the same way.
    """
    rng = np.random.default_rng(key)
    from_clips = round(config.clip_share * count) if material.clips else 0
    pairs = []
    for index in range(count):
        is_clip = index < from_clips
        pool = material.clips if is_clip else material.puppets
        sequence = pool[int(rng.integers(len(pool)))]
        still, driving = rng.integers(len(sequence.pictures), size=2)
        if is_clip and rng.uniform() < _FROM_THE_START:
            still = 0
        augmentation = random_augmentation(rng)
        if is_clip and not config.recolour_clips:
            augmentation = Augmentation(augmentation.matrix, augmentation.mirrored)
        ends = int(still), int(driving)
        if is_clip and config.bend_clips:
            sequence, ends = bent(sequence, ends, rng)
        if is_clip and config.disguise_clips:
            sequence, ends = disguised(sequence, ends, rng)
        pair = make_pair(sequence, *ends, size, augmentation, optical_flow=config.optical_flow)
        pairs.append(pair)
    batch = stack(pairs)
    return batch if config.cue is None else replace(batch, cue=torch.zeros_like(batch.cue))


def stack(pairs: list[Pair]) -> Batch:
    """Pairs of one size as a batch."""
    columns = {
        field.name: torch.from_numpy(np.stack([getattr(pair, field.name) for pair in pairs]))
        for field in fields(Pair)
    }
    for name in ("label_still", "label_driving"):
        columns[name] = columns[name].long()
    return Batch(**{name: _channels_last(column) for name, column in columns.items()})


def _channels_last(values: Tensor) -> Tensor:
    """The layout in which a step is fastest, on CPUs (by a sixth) as on GPUs."""
    if values.dim() != 4:
        return values
    return values.contiguous(memory_format=torch.channels_last)
