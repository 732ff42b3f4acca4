"""Scores as a table in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeanim.core.errors import printable
from edgeanim.models.evaluation.score import Score, Tips

Cell = Callable[[Score], str]


def table(scores: Sequence[Score]) -> str:
    """Baselines beside the animator, a row per set; then what was won back on average by each group
    of several sets and by all, and the set with the least. Where nothing moves nothing can be won
    back: such sets count in none of these."""
    lines = [line([head for head, _ in COLUMNS]), "|" + "---|" * len(COLUMNS)]
    lines += [line([cell(score) for _, cell in COLUMNS]) for score in scores]
    moving = [score for score in scores if score.won is not None]
    groups = {score.group: [s for s in moving if s.group == score.group] for score in moving}
    several = {name: held for name, held in groups.items() if name and len(held) > 1}
    means = {f"{name}: mean": held for name, held in several.items()}
    if moving:
        lines += [_mean(name, held) for name, held in {**means, "mean": moving}.items()]
        least = min(moving, key=lambda score: score.won or 0.0)
        lines.append(_short(f"least: {least.name}", least.frames, least.won_affine, least.won))
    return "\n".join(lines)


def _mean(name: str, scores: Sequence[Score]) -> str:
    affine, won = (
        [value for s in scores if (value := getattr(s, key)) is not None]
        for key in ("won_affine", "won")
    )
    means = (float(np.mean(values)) if values else None for values in (affine, won))
    return _short(name, sum(s.frames for s in scores), *means)


def _short(name: str, frames: int, affine: float | None, won: float | None) -> str:
    cells = [name, str(frames), figure(affine), _bold(won)]
    return line([*cells, *[""] * (len(COLUMNS) - len(cells))])


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(map(printable, cells)) + " |"


def figure(value: float | None, digits: int = 2) -> str:
    """A figure in a table's cell, or a dash where there is none."""
    # What rounds to nothing has no sign.
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _bold(value: float | None) -> str:
    return figure(value) if value is None else f"**{figure(value)}**"


def _tip(key: Callable[[Tips], float]) -> Cell:
    return lambda score: figure(None if score.tips is None else key(score.tips))


def _affine(key: str, digits: int) -> Cell:
    return lambda score: figure(getattr(score.affine, key, None), digits)


COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("set", lambda s: s.name),
    ("frames", lambda s: str(s.frames)),
    ("won back: affine", lambda s: figure(s.won_affine)),
    ("**animator**", lambda s: _bold(s.won)),
    ("SSIM, moving: still", lambda s: figure(s.still.moving, 3)),
    ("affine", _affine("moving", 3)),
    ("animator", lambda s: figure(s.animator.moving, 3)),
    ("MS-SSIM: still", lambda s: f"{s.still.ms_ssim:.3f}"),
    ("animator", lambda s: f"{s.animator.ms_ssim:.3f}"),
    ("PSNR: still", lambda s: f"{s.still.psnr_db:.1f}"),
    ("animator", lambda s: f"{s.animator.psnr_db:.1f}"),
    ("temporal: still", lambda s: figure(s.still.temporal, 1)),
    ("affine", _affine("temporal", 1)),
    ("animator", lambda s: figure(s.animator.temporal, 1)),
    ("ghosts: affine", _affine("ghosts", 2)),
    ("animator", lambda s: figure(s.animator.ghosts)),
    ("tint: affine", _affine("tint", 1)),
    ("animator", lambda s: figure(s.animator.tint, 1)),
    ("tips, SSIM: still", _tip(lambda t: t.ssim_still)),
    ("animator", _tip(lambda t: t.ssim)),
    ("tips, sharpness", _tip(lambda t: t.sharpness)),
    ("mIoU", lambda s: figure(s.miou)),
    ("cover", lambda s: figure(s.cover)),
)
