"""Scores as a table in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeanim.models.evaluation.score import Score, Tips

Cell = Callable[[Score], str]


def table(scores: Sequence[Score]) -> str:
    """Baselines beside the animator, a row per set; then what was won back on average by each group
    of several sets and by all, and the set with the least. Where nothing moves nothing can be won
    back: such sets count in none of these."""
    lines = [_line([head for head, _ in COLUMNS]), "|" + "---|" * len(COLUMNS)]
    lines += [_line([cell(score) for _, cell in COLUMNS]) for score in scores]
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
        float(np.mean([getattr(s, key) for s in scores])) for key in ("won_affine", "won")
    )
    return _short(name, sum(s.frames for s in scores), affine, won)


def _short(name: str, frames: int, affine: float | None, won: float | None) -> str:
    cells = [name, str(frames), _maybe(affine), _bold(won)]
    return _line([*cells, *[""] * (len(COLUMNS) - len(cells))])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _maybe(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _bold(value: float | None) -> str:
    return "-" if value is None else f"**{value:.2f}**"


def _tip(key: Callable[[Tips], float]) -> Cell:
    return lambda score: _maybe(None if score.tips is None else key(score.tips))


COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("set", lambda s: s.name),
    ("frames", lambda s: str(s.frames)),
    ("won back: affine", lambda s: _maybe(s.won_affine)),
    ("**animator**", lambda s: _bold(s.won)),
    ("SSIM, moving: still", lambda s: _maybe(s.still.moving, 3)),
    ("affine", lambda s: _maybe(s.affine.moving, 3)),
    ("animator", lambda s: _maybe(s.animator.moving, 3)),
    ("MS-SSIM: still", lambda s: f"{s.still.ms_ssim:.3f}"),
    ("animator", lambda s: f"{s.animator.ms_ssim:.3f}"),
    ("PSNR: still", lambda s: f"{s.still.psnr_db:.1f}"),
    ("animator", lambda s: f"{s.animator.psnr_db:.1f}"),
    ("temporal: still", lambda s: _maybe(s.still.temporal, 1)),
    ("affine", lambda s: _maybe(s.affine.temporal, 1)),
    ("animator", lambda s: _maybe(s.animator.temporal, 1)),
    ("ghosts: affine", lambda s: _maybe(s.affine.ghosts)),
    ("animator", lambda s: _maybe(s.animator.ghosts)),
    ("tint: affine", lambda s: _maybe(s.affine.tint, 1)),
    ("animator", lambda s: _maybe(s.animator.tint, 1)),
    ("tips, SSIM: still", _tip(lambda t: t.ssim_still)),
    ("animator", _tip(lambda t: t.ssim)),
    ("tips, sharpness", _tip(lambda t: t.sharpness)),
    ("mIoU", lambda s: _maybe(s.miou)),
    ("cover", lambda s: f"{s.cover:.2f}"),
)
