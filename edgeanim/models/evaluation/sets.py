"""What an animator is scored on, and the table of the scores. See `edgeanim evaluate --help`.

Self-reenactment: the first frame is the still, later frames are the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.data.sequences import FrameSequence, clip_sequence, puppet_sequence
from edgeanim.models.dataset import load_manifest
from edgeanim.models.dataset_reader import read_sequences
from edgeanim.models.evaluation.score import Score, Shot, score_set

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator

FIRST_SEED = 5_000_000
"""Seeds from here on are kept out of every training that ships."""
_TIMES = (0.0, 0.12, 0.24, 0.36, 0.5)
_CLIP_FRAMES = 12


def evaluate(
    animator: Animator,
    *,
    puppets: int = 40,
    clips: Sequence[Path] = (),
    dataset: Path | None = None,
    size: int | None = None,
    progress: Progress = SILENT,
) -> list[Score]:
    """Scores on `puppets` puppets together, on each of `clips`, and on each kind of character in
    the test split of `dataset`, all at `size` pixels a side (the animator's, unless given)."""
    size = size or animator.config.size
    stored = {} if dataset is None else stored_shots(dataset)
    progress.stage("scoring", 1 + len(clips) + len(stored))
    drawn = (puppet_shot(puppet_sequence(FIRST_SEED + i, _TIMES)) for i in range(puppets))
    scores = [score_set(animator, "puppets", drawn, size)]
    progress.step()
    for path in clips:
        scores.append(score_set(animator, path.stem, [clip_shot(clip_sequence(path))], size))
        progress.step()
    for kind, shots in stored.items():
        scores.append(score_set(animator, f"{kind}s", shots, size))
        progress.step()
    progress.done()
    return scores


def puppet_shot(sequence: FrameSequence) -> Shot:
    """Frames come in twos: one just before each moment, and the moment. The first is the still."""
    return Shot(sequence, 1, tuple(range(3, len(sequence.pictures), 2)))


def clip_shot(sequence: FrameSequence) -> Shot:
    """The first frame is the still; drivers are spread over the rest that have one before them."""
    drivers = [i for i in range(1, len(sequence.pictures)) if sequence.before[i] != i]
    chosen = np.linspace(0, len(drivers) - 1, min(len(drivers), _CLIP_FRAMES)).round()
    return Shot(sequence, 0, tuple(drivers[int(i)] for i in chosen))


def stored_shots(dataset: Path) -> dict[str, list[Shot]]:
    """The test split of a stored dataset by kind of character."""
    kinds = {entry.origin.id: entry.origin.kind for entry in load_manifest(dataset).sequences}
    shots: dict[str, list[Shot]] = {}
    for sequence in read_sequences(dataset, "test"):
        shots.setdefault(kinds[sequence.name], []).append(clip_shot(sequence))
    return shots


def table(scores: Sequence[Score]) -> str:
    """The scores as Markdown: baselines beside the animator, and the mean over the sets."""
    head = (
        "set",
        "frames",
        "won back: affine",
        "**animator**",
        "SSIM, moving: still",
        "affine",
        "animator",
        "MS-SSIM: still",
        "animator",
        "PSNR: still",
        "animator",
        "temporal: still",
        "affine",
        "animator",
        "tips, SSIM: still",
        "animator",
        "tips, sharpness",
        "mIoU",
        "cover",
    )
    rows = [_row(score) for score in scores]
    lines = [_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)]
    affine, won = (np.mean([getattr(s, name) for s in scores]) for name in ("won_affine", "won"))
    mean = ("mean", str(sum(s.frames for s in scores)), f"{affine:.2f}", f"**{won:.2f}**")
    return "\n".join([*lines, _line((*mean, *[""] * (len(head) - len(mean))))])


def _row(score: Score) -> tuple[str, ...]:
    qualities = (score.still, score.affine, score.animator)
    ends = (score.still, score.animator)
    tips = score.tips
    return (
        score.name,
        str(score.frames),
        f"{score.won_affine:.2f}",
        f"**{score.won:.2f}**",
        *(f"{q.moving:.3f}" for q in qualities),
        *(f"{q.ms_ssim:.3f}" for q in ends),
        *(f"{q.psnr_db:.1f}" for q in ends),
        *(f"{q.temporal:.1f}" for q in qualities),
        *(("-",) * 3 if tips is None else _tips(tips.ssim_still, tips.ssim, tips.sharpness)),
        "-" if score.miou is None else f"{score.miou:.2f}",
        f"{score.cover:.2f}",
    )


def _tips(*values: float) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" for value in values)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
