"""Scores of an animator over sets of sequences, beside two baselines: the still repeated, and the
regions' affine warp without the generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.models.data.pairs import Pair, make_pair
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.evaluation.quality import (
    Mask,
    Quality,
    QualitySums,
    gradient_energy,
    moving_area,
    ssim_maps,
)
from edgeanim.models.evaluation.reenact import Made, Reenactment
from edgeanim.models.regions import COUNT, TIPS

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator

_MASK_STRIDE = 4


@dataclass(frozen=True)
class Tips:
    """Forearms and hands, eyes and mouths that move, where masks are known: SSIM of the still and
    of the animator there, and `sharpness`, the made over the real gradients (1: no blur)."""

    ssim_still: float
    ssim: float
    sharpness: float


@dataclass(frozen=True)
class Score:
    """One set. `miou` and `tips` are `None` where masks are unknown; `cover` is the share of the
    picture that the regions take (0: collapsed to background)."""

    name: str
    frames: int
    still: Quality
    affine: Quality
    animator: Quality
    tips: Tips | None
    miou: float | None
    cover: float

    @property
    def won(self) -> float:
        """Of the SSIM that the repeated still loses in the moving area, the share won back."""
        return _won(self.still, self.animator)

    @property
    def won_affine(self) -> float:
        """The same of the affine warp."""
        return _won(self.still, self.affine)


def _won(still: Quality, made: Quality) -> float:
    return (made.moving - still.moving) / max(1 - still.moving, 1e-9)


@dataclass
class _Sums:
    still: QualitySums = field(default_factory=QualitySums)
    affine: QualitySums = field(default_factory=QualitySums)
    animator: QualitySums = field(default_factory=QualitySums)
    tips: list[float] = field(default_factory=lambda: [0.0] * 5)
    overlap: list[int] = field(default_factory=lambda: [0] * COUNT)
    union: list[int] = field(default_factory=lambda: [0] * COUNT)
    cover: float = 0.0

    def score(self, name: str) -> Score:
        frames = self.animator.frames
        ious = [o / u for o, u in zip(self.overlap, self.union, strict=True) if u]
        area, still, made, energy, real_energy = self.tips
        tips = Tips(still / area, made / area, energy / max(real_energy, 1e-9)) if area else None
        qualities = (self.still.mean(), self.affine.mean(), self.animator.mean())
        miou = float(np.mean(ious)) if ious else None
        return Score(name, frames, *qualities, tips, miou, self.cover / max(frames, 1))


@dataclass(frozen=True)
class Shot:
    """A sequence to score: its still's index, and the drivers', each with a frame before it."""

    sequence: FrameSequence
    still: int
    drivers: tuple[int, ...]


def score_set(animator: Animator, name: str, shots: Iterable[Shot], size: int) -> Score:
    """One score over `shots`, at `size` pixels a side."""
    sums = _Sums()
    for shot in shots:
        _add_shot(sums, animator, shot, size)
    return sums.score(name)


def _add_shot(sums: _Sums, animator: Animator, shot: Shot, size: int) -> None:
    reenactment: Reenactment | None = None
    for pair, before in _pairs(shot, size):
        reenactment = reenactment or Reenactment(animator, pair.still)
        made = reenactment.make(pair.driving, pair.cue)
        earlier = reenactment.make(before.driving, before.cue)
        area = moving_area(pair.still, pair.driving)
        change = pair.driving - before.driving
        for total, frame, frame_change in (
            (sums.still, pair.still, np.zeros_like(change)),
            (sums.affine, made.affine, made.affine - earlier.affine),
            (sums.animator, made.frame, made.frame - earlier.frame),
        ):
            total.add(frame, pair.driving, area)
            total.add_change(frame_change, change, area)
        sums.cover += made.cover
        if pair.known[0]:
            _add_known(sums, pair, made, area)


def _pairs(shot: Shot, size: int) -> Iterator[tuple[Pair, Pair]]:
    """Each driver's pair, and that of the frame before it."""
    for driver in shot.drivers:
        before = shot.sequence.before[driver]
        yield (
            make_pair(shot.sequence, shot.still, driver, size),
            make_pair(shot.sequence, shot.still, before, size),
        )


def _add_known(sums: _Sums, pair: Pair, made: Made, area: Mask) -> None:
    for k in range(COUNT):
        truth, found = pair.label_driving == k, made.label == k
        sums.overlap[k] += int((truth & found).sum())
        sums.union[k] += int((truth | found).sum())
    tips = _enlarged(np.isin(pair.label_driving, TIPS)) * area
    still, frame = (ssim_maps(x, pair.driving)[0] for x in (pair.still, made.frame))
    values = (
        float(tips.sum()),
        float((still * tips).sum()),
        float((frame * tips).sum()),
        gradient_energy(made.frame, tips),
        gradient_energy(pair.driving, tips),
    )
    sums.tips = [a + b for a, b in zip(sums.tips, values, strict=True)]


def _enlarged(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Mask:
    return np.kron(mask, np.ones((_MASK_STRIDE, _MASK_STRIDE))).astype(np.float32)
