"""What `edgeanim evaluate` scored, as tables: the animator beside its baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from edgeanim.models.evaluation.score import Score
from edgeanim.report.columns import ruled
from edgeanim.report.words import number


class _Column(NamedTuple):
    """What a score shows under a title, `WHAT: WHOSE` of several that stand side by side; `None`
    where nothing is known."""

    title: str
    value: Callable[[Score], float | None]
    digits: int = 2


def score_tables(scores: Sequence[Score]) -> str:
    """A row for each set in each of three tables, of what moves, of whole pictures and what is left
    behind, and of what needs regions or known masks; columns that no set knows are left out.

    The first ends with the mean share won back of each group of several sets and of all, and the
    set with the least. Where nothing moves nothing can be won back: such sets count in none."""
    tables = [_table(_MOVING, scores, _means(scores)), *(_table(each, scores) for each in _OTHERS)]
    return "\n\n".join("\n".join(lines) for lines in tables if lines)


class _Mean(NamedTuple):
    """A row below the sets, in the first columns of `_MOVING`: over how many frames, and the shares
    won back."""

    name: str
    frames: int
    won: float | None
    affine: float | None


def _table(
    columns: Sequence[_Column], scores: Sequence[Score], means: Iterable[_Mean] = ()
) -> list[str]:
    known = [c for c in columns if any(c.value(score) is not None for score in scores)]
    if not known:
        return []
    rows = [[s.name, *(number(c.value(s), c.digits) for c in known)] for s in scores]
    for mean in means:
        values = zip(columns, (mean.frames, mean.won, mean.affine), strict=False)
        shown = [number(value, c.digits) for c, value in values if c in known]
        rows.append([mean.name, *shown, *[""] * (len(known) - len(shown))])
    return ruled(["set", *_titles(known)], rows, (0,))


def _titles(columns: Sequence[_Column]) -> Iterator[str]:
    """What it is, is said of the first of those that stand side by side alone."""
    before = ""
    for column in columns:
        what, _, whose = column.title.partition(": ")
        yield whose if whose and what == before else column.title
        before = what


def _means(scores: Sequence[Score]) -> list[_Mean]:
    moving = [score for score in scores if score.won is not None]
    if not moving:
        return []
    groups = {score.group: [s for s in moving if s.group == score.group] for score in moving}
    several = {name: held for name, held in groups.items() if name and len(held) > 1}
    named = {**{f"{name}: mean": held for name, held in several.items()}, "mean": moving}
    least = min(moving, key=lambda score: score.won or 0.0)
    return [
        *(_mean(name, held) for name, held in named.items()),
        _Mean(f"least: {least.name}", least.frames, least.won, least.won_affine),
    ]


def _mean(name: str, scores: Sequence[Score]) -> _Mean:
    won, affine = (
        [value for value in values if value is not None]
        for values in ([s.won for s in scores], [s.won_affine for s in scores])
    )
    means = (float(np.mean(values)) if values else None for values in (won, affine))
    return _Mean(name, sum(s.frames for s in scores), *means)


def _of(title: str, part: str, key: str, digits: int = 2) -> _Column:
    """A column of a field of one part of a score: a quality or the tips."""
    return _Column(title, lambda score: getattr(getattr(score, part), key, None), digits)


_MOVING = (
    _Column("frames", lambda score: score.frames, 0),
    _Column("won back", lambda score: score.won),
    _Column("affine", lambda score: score.won_affine),
    _of("SSIM, moving: still", "still", "moving", 3),
    _of("SSIM, moving: affine", "affine", "moving", 3),
    _of("SSIM, moving: animator", "animator", "moving", 3),
    _of("temporal: still", "still", "temporal", 1),
    _of("temporal: affine", "affine", "temporal", 1),
    _of("temporal: animator", "animator", "temporal", 1),
)
_OTHERS = (
    (
        _of("MS-SSIM: still", "still", "ms_ssim", 3),
        _of("MS-SSIM: animator", "animator", "ms_ssim", 3),
        _of("PSNR: still", "still", "psnr_db", 1),
        _of("PSNR: animator", "animator", "psnr_db", 1),
        _of("ghosts: affine", "affine", "ghosts"),
        _of("ghosts: animator", "animator", "ghosts"),
        _of("tint: affine", "affine", "tint", 1),
        _of("tint: animator", "animator", "tint", 1),
    ),
    (
        _of("tips, SSIM: still", "tips", "ssim_still"),
        _of("tips, SSIM: animator", "tips", "ssim"),
        _of("tips, sharpness", "tips", "sharpness"),
        _Column("mIoU", lambda score: score.miou),
        _Column("cover", lambda score: score.cover),
    ),
)
