"""What an animator is scored on. See `edgeanim evaluate --help`.

Self-reenactment: the first frame is the still, later frames are the driver.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeanim.core.errors import UsageError
from edgeanim.core.progress import SILENT, Progress, counted
from edgeanim.models.data.pairs import MASK_STRIDE
from edgeanim.models.data.sequences import FrameSequence, puppet_sequence
from edgeanim.models.dataset.form import load_manifest
from edgeanim.models.dataset.reader import read_sequences
from edgeanim.models.evaluation.clips import check_clips, clip_frames
from edgeanim.models.evaluation.reenact import Animated
from edgeanim.models.evaluation.score import Score, Shot, score_set

FIRST_SEED = 5_000_000
"""Seeds from here on are kept out of every training that ships."""
PUPPETS = 40
_TIMES = (0.0, 0.12, 0.24, 0.36, 0.5)
_CLIP_FRAMES = 12


def evaluate(
    animator: Animated,
    *,
    puppets: int | None = None,
    clips: Sequence[Path] = (),
    dataset: Path | None = None,
    size: int | None = None,
    progress: Progress = SILENT,
) -> list[Score]:
    """Scores on `puppets` puppets (40) together, on each of `clips` (named by its folder and its
    file), and on each kind of character in the test split of `dataset` (named by its folder and the
    kind), all at `size` pixels a side (the animator's, unless given).

    `BadInput` for a clip that cannot be read, before any is scored; `UsageError` for a size of
    which masks are no quarter."""
    check_size(size)
    sets = shot_sets(puppets=puppets, clips=clips, dataset=dataset, progress=progress)
    size = size or animator.size
    progress.stage("scoring", len(sets))
    scores = []
    for each in sets:
        shots = counted(each.shots, each.name, progress)
        scores.append(score_set(animator, each.name, shots, size, each.group))
        progress.step()
    progress.done()
    return scores


def check_size(size: int | None) -> None:
    """`UsageError` for a side of pictures of which masks are no quarter."""
    if size is not None and (size < MASK_STRIDE or size % MASK_STRIDE):
        raise UsageError(
            f"Masks have a quarter of the pictures' side, and {size} is no positive multiple of "
            f"{MASK_STRIDE}.",
            where="--size",
            hint=f"Take {max(size - size % MASK_STRIDE, MASK_STRIDE)}.",
        )


class ShotSet(NamedTuple):
    """Shots that are scored together; `shots` can be gone through once. See `Score` for `group`."""

    name: str
    group: str
    shots: Iterable[Shot]


def shot_sets(
    *,
    puppets: int | None = None,
    clips: Sequence[Path] = (),
    dataset: Path | None = None,
    progress: Progress = SILENT,
) -> list[ShotSet]:
    """What `evaluate` scores, drawn and read when it is looked at.

    `BadInput` for a clip that cannot be read, or a dataset that cannot be trusted, at once."""
    check_clips(clips, progress)
    seeds = range(FIRST_SEED, FIRST_SEED + (PUPPETS if puppets is None else puppets))
    drawn = (puppet_shot(puppet_sequence(seed, _TIMES)) for seed in seeds)
    return [
        *([ShotSet("puppets", "puppets", drawn)] if seeds else []),
        *(_clip_set(path) for path in clips),
        *([] if dataset is None else _stored_sets(dataset)),
    ]


def _stored_sets(dataset: Path) -> Iterator[ShotSet]:
    for kind, shots in stored_shots(dataset).items():
        name = f"{_called(dataset)}/{_several(kind)}"
        yield ShotSet(name, name, shots)


def _several(kind: str) -> str:
    """The plural of a kind of character."""
    if kind == "person":
        return "people"
    return kind if kind.endswith("s") else kind + ("es" if kind.endswith("ch") else "s")


def _clip_set(path: Path) -> ShotSet:
    group = _called(path.parent)
    return ShotSet(f"{group}/{path.stem}", group, map(clip_shot, map(clip_frames, [path])))


def _called(folder: Path) -> str:
    """The name of a folder, be it given by dots."""
    return Path(os.path.abspath(folder)).name  # noqa: PTH100 a link keeps its own


def puppet_shot(sequence: FrameSequence) -> Shot:
    """Frames come in twos: one just before each moment, and the moment. The first is the still."""
    return Shot(sequence, 1, tuple(range(3, len(sequence.pictures), 2)))


def clip_shot(sequence: FrameSequence, begin: int = 1) -> Shot:
    """The first frame is the still; drivers are spread over those from `begin` on that have one
    before them."""
    drivers = [i for i in range(begin, len(sequence.pictures)) if sequence.before[i] != i]
    chosen = np.linspace(0, len(drivers) - 1, min(len(drivers), _CLIP_FRAMES)).round()
    return Shot(sequence, 0, tuple(drivers[int(i)] for i in chosen))


def stored_shots(dataset: Path) -> dict[str, list[Shot]]:
    """The test split of a stored dataset by kind of character."""
    kinds = {entry.origin.id: entry.origin.kind for entry in load_manifest(dataset).sequences}
    shots: dict[str, list[Shot]] = {}
    for sequence in read_sequences(dataset, "test"):
        shots.setdefault(kinds[sequence.name], []).append(clip_shot(sequence))
    return shots
