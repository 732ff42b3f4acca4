"""Scores of an animator over sets of sequences, beside two baselines: the still repeated, and the
regions' affine warp without the generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edgeanim.models.data.pairs import Pair, make_pair
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.evaluation.disocclusion import (
    ClipDisocclusion,
    disoccluded_where_known,
    enlarged,
)
from edgeanim.models.evaluation.quality import (
    Quality,
    QualitySums,
    Truth,
    gradient_energy,
    moving_area,
)
from edgeanim.models.evaluation.reenact import Animated, Made, Reenactment
from edgeanim.models.evaluation.similarity import Mask, Picture, Reference
from edgeanim.models.regions import COUNT, TIPS


@dataclass(frozen=True)
class Tips:
    """Forearms and hands, eyes and mouths that move, where masks are known: SSIM of the still and
    of the animator there, and `sharpness`, the made over the real gradients (1: no blur)."""

    ssim_still: float
    ssim: float
    sharpness: float


@dataclass(frozen=True)
class Score:
    """One set. `affine` is `None` of a model without regions; `tips` and `miou` where masks are
    unknown. `cover` is the share of the picture that the regions take (0: collapsed to background),
    and like `miou` `None` of a model with other regions than `models.regions`. `group` is the
    folder of a clip, and the name of what is none."""

    name: str
    frames: int
    still: Quality
    affine: Quality | None
    animator: Quality
    tips: Tips | None
    miou: float | None
    cover: float | None
    group: str = ""

    @property
    def won(self) -> float | None:
        """Of the SSIM that the repeated still loses in the moving area, the share won back; `None`
        if nothing moves."""
        return _won(self.still, self.animator)

    @property
    def won_affine(self) -> float | None:
        """The same of the affine warp."""
        return _won(self.still, self.affine)


def _won(still: Quality, made: Quality | None) -> float | None:
    if still.moving is None or made is None or made.moving is None:
        return None
    return (made.moving - still.moving) / max(1 - still.moving, 1e-9)


@dataclass
class _TipSums:
    """What `Tips` is the mean of; both `gradients` as `gradient_energy` has them."""

    area: float = 0.0
    ssim_still: float = 0.0
    ssim: float = 0.0
    gradients: float = 0.0
    real_gradients: float = 0.0

    def mean(self) -> Tips | None:
        if not self.area:
            return None
        sharpness = self.gradients / max(self.real_gradients, 1e-9)
        return Tips(self.ssim_still / self.area, self.ssim / self.area, sharpness)


@dataclass
class _Sums:
    still: QualitySums = field(default_factory=QualitySums)
    affine: QualitySums = field(default_factory=QualitySums)
    animator: QualitySums = field(default_factory=QualitySums)
    tips: _TipSums = field(default_factory=_TipSums)
    overlap: list[int] = field(default_factory=lambda: [0] * COUNT)
    union: list[int] = field(default_factory=lambda: [0] * COUNT)
    covers: list[float] = field(default_factory=list)

    def score(self, name: str, group: str) -> Score:
        ious = [o / u for o, u in zip(self.overlap, self.union, strict=True) if u]
        affine = self.affine.mean() if self.affine.frames else None
        qualities = (self.still.mean(), affine, self.animator.mean())
        miou, cover = (float(np.mean(found)) if found else None for found in (ious, self.covers))
        frames = self.animator.frames
        return Score(name, frames, *qualities, self.tips.mean(), miou, cover, group)


@dataclass(frozen=True)
class Shot:
    """A sequence to score: its still's index, and the drivers', each with a frame before it."""

    sequence: FrameSequence
    still: int
    drivers: tuple[int, ...]


def score_set(
    animator: Animated, name: str, shots: Iterable[Shot], size: int, group: str | None = None
) -> Score:
    """One score over `shots`, at `size` pixels a side; `group` is `name` unless given."""
    sums = _Sums()
    for shot in shots:
        _add_shot(sums, animator, shot, size)
    return sums.score(name, name if group is None else group)


def _add_shot(sums: _Sums, animator: Animated, shot: Shot, size: int) -> None:
    known = shot.sequence.parts is not None
    in_clip = None if known else ClipDisocclusion(shot.sequence, shot.still, shot.drivers)
    reenactment: Reenactment | None = None
    for driver in shot.drivers:
        pair = make_pair(shot.sequence, shot.still, driver, size)
        before = make_pair(shot.sequence, shot.still, shot.sequence.before[driver], size)
        reenactment = reenactment or animator.reenact(pair.still, _driving(shot, size))
        made, earlier = reenactment.make(pair, before, driver)
        moving = moving_area(pair.still, pair.driving)
        gone = disoccluded_where_known(pair) if in_clip is None else in_clip.area(driver, size)
        truth = Truth(Reference(pair.driving), pair.still, moving, gone * moving)
        still_map = sums.still.add(pair.still, truth)
        made_map = sums.animator.add(made.frame, truth)
        change = pair.driving - before.driving
        sums.still.add_change(np.zeros_like(change), change, moving)
        sums.animator.add_change(made.frame - earlier.frame, change, moving)
        if made.affine is not None and earlier.affine is not None:
            sums.affine.add(made.affine, truth)
            sums.affine.add_change(made.affine - earlier.affine, change, moving)
        if made.cover is not None:
            sums.covers.append(made.cover)
        if known:
            _add_labels(sums, pair, made)
            _add_tips(sums.tips, pair, made, moving, still_map, made_map)


def _driving(shot: Shot, size: int) -> Iterator[Picture]:
    """All frames of its sequence, as its pairs have them, made when they are looked at."""
    for number in range(len(shot.sequence.pictures)):
        yield make_pair(shot.sequence, shot.still, number, size).driving


def _add_labels(sums: _Sums, pair: Pair, made: Made) -> None:
    if made.label is None:
        return
    for k in range(COUNT):
        truth, found = pair.label_driving == k, made.label == k
        sums.overlap[k] += int((truth & found).sum())
        sums.union[k] += int((truth | found).sum())


def _add_tips(
    sums: _TipSums, pair: Pair, made: Made, moving: Mask, still_map: Mask, made_map: Mask
) -> None:
    tips = enlarged(np.isin(pair.label_driving, TIPS)) * moving
    sums.area += float(tips.sum())
    sums.ssim_still += float((still_map * tips).sum())
    sums.ssim += float((made_map * tips).sum())
    sums.gradients += gradient_energy(made.frame, tips)
    sums.real_gradients += gradient_energy(pair.driving, tips)
