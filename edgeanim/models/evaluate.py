"""How well an animator does on characters it was never trained on.

    edgeanim evaluate [--clips FOLDER] [--names again,book] [--weights FOLDER]

Self-reenactment: the first frame is the still, later frames are the driver. Reported is the share
of the SSIM that the repeated still loses, inside the area that moves, that is won back: by the
animator, and by its regions' affine warp alone. 1 is a perfect frame, 0 no better than the still.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.pairs import Pair, make_pair
from edgeanim.models.data.sequences import (
    FrameSequence,
    clip_sequence,
    puppet_sequence,
)
from edgeanim.models.regions import BACKGROUND, COUNT

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator

FIRST_SEED = 5_000_000
"""Seeds from here on are kept out of every training that ships."""
_MOVES = 0.06
_C1, _C2 = 0.01**2, 0.03**2
_TIMES = (0.0, 0.12, 0.24, 0.36, 0.5)
_CLIP_FRAMES = 12


@dataclass(frozen=True)
class Score:
    """Figures of one set. `won` and `won_affine` are shares (see the module); `ssim_*` are means
    over the moving area; `miou` is `None` where masks are unknown, `cover` the share of the picture
    that the regions take."""

    name: str
    frames: int
    ssim_still: float
    ssim_affine: float
    ssim: float
    miou: float | None
    cover: float

    @property
    def won(self) -> float:
        return (self.ssim - self.ssim_still) / (1 - self.ssim_still)

    @property
    def won_affine(self) -> float:
        return (self.ssim_affine - self.ssim_still) / (1 - self.ssim_still)


def evaluate(
    animator: Animator, *, puppets: int = 40, clips: Sequence[Path] = (), size: int | None = None
) -> list[Score]:
    """Scores on `puppets` puppets by kind and all together, and on each of `clips`."""
    size = size or animator.config.size
    sequences = [puppet_sequence(FIRST_SEED + i, _TIMES) for i in range(puppets)]
    scores = [score_set(animator, "puppets", (_puppet_pairs(s, size) for s in sequences))]
    for path in clips:
        sequence = clip_sequence(path)
        scores.append(score_set(animator, path.stem, [_clip_pairs(sequence, size)]))
    return scores


def score_set(animator: Animator, name: str, sets: Iterable[list[Pair]]) -> Score:
    """One score over lists of pairs, each list sharing its still."""
    totals = np.zeros(4)
    overlap, union = np.zeros(COUNT), np.zeros(COUNT)
    cover, frames, known = 0.0, 0, False
    for pairs in sets:
        for pair in pairs:
            frame, affine, label, covered = _animate(animator, pair)
            weight = _moving(pair)
            images = [pair.still, affine, frame]
            losses = [((1 - ssim_map(image, pair.driving)) * weight).sum() for image in images]
            totals += [*losses, weight.sum()]
            frames, cover = frames + 1, cover + covered
            if pair.known[0]:
                known = True
                for k in range(COUNT):
                    truth, found = pair.label_driving == k, label == k
                    overlap[k] += (truth & found).sum()
                    union[k] += (truth | found).sum()
    still, affine_loss, made = 1 - totals[:3] / max(totals[3], 1e-9)
    present = union > 0
    miou = float((overlap[present] / union[present]).mean()) if known else None
    return Score(
        name, frames, float(still), float(affine_loss), float(made), miou, cover / max(frames, 1)
    )


def ssim_map(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """SSIM at each pixel [h, w] of pictures [3, h, w] in 0..1, averaged over the channels.

    Wang et al. 2004: 11x11 Gaussian, sigma 1.5, K 0.01 and 0.03, population covariance. The map is
    needed here, since only the moving area counts; whole-picture drift is `benchmarks.drift`'s.
    """
    import cv2

    def blur(x: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred: NDArray[np.float32] = cv2.GaussianBlur(x, (11, 11), 1.5)
        return blurred

    x, y = (np.ascontiguousarray(p.transpose(1, 2, 0)) for p in (a, b))
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    top = (2 * mx * my + _C1) * (2 * cov + _C2)
    values = top / ((mx * mx + my * my + _C1) * (vx + vy + _C2))
    return np.asarray(values.mean(-1), np.float32)


def table(scores: Sequence[Score]) -> str:
    """The scores as Markdown."""
    lines = [
        "| set | frames | SSIM: still | affine | animator | won back: affine | animator | mIoU |"
        " cover |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for s in scores:
        miou = "-" if s.miou is None else f"{s.miou:.2f}"
        lines.append(
            f"| {s.name} | {s.frames} | {s.ssim_still:.3f} | {s.ssim_affine:.3f} | {s.ssim:.3f} "
            f"| {s.won_affine:.2f} | **{s.won:.2f}** | {miou} | {s.cover:.2f} |"
        )
    return "\n".join(lines)


def _animate(
    animator: Animator, pair: Pair
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], float]:
    """The animator's frame, the affine warp's, the driver's region labels and their coverage."""
    import torch

    from edgeanim.models.nets.generator import NEUTRAL_SCORE, affine_coefficients, compose_flows
    from edgeanim.models.training.losses import compose, warp

    with torch.no_grad():
        still, driving, cue = (
            torch.from_numpy(p)[None] for p in (pair.still, pair.driving, pair.cue)
        )
        still_mask, still_motion = animator.regions(still, torch.zeros_like(cue))
        mask, motion = animator.regions(driving, cue)
        features = animator.encoder(still, still_mask)
        frame, _ = compose(still, *animator.generator(*features, still_motion, motion))
        neutral = torch.full_like(mask, NEUTRAL_SCORE)
        flow = compose_flows(neutral, *affine_coefficients(still_motion, motion))
        affine = warp(still, flow)
        share = torch.cat([mask, 1 - mask.sum(1, keepdim=True)], 1)
        label = share.argmax(1)[0]
    covered = float((label != BACKGROUND).float().mean())
    return frame[0].numpy(), affine[0].numpy(), label.numpy(), covered


def _moving(pair: Pair) -> NDArray[np.float32]:
    """1 in the area where still and driving frame differ, grown by the SSIM window's radius."""
    import cv2

    change = (np.abs(pair.still - pair.driving).max(0) > _MOVES).astype(np.uint8)
    change = cv2.morphologyEx(change, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.dilate(change, np.ones((11, 11), np.uint8)).astype(np.float32)  # type: ignore[no-any-return]


def _puppet_pairs(sequence: FrameSequence, size: int) -> list[Pair]:
    """Frame 1 is the still; the frames after the following moments are the drivers."""
    return [make_pair(sequence, 1, i, size) for i in range(3, len(sequence.pictures), 2)]


def _clip_pairs(sequence: FrameSequence, size: int) -> list[Pair]:
    last = len(sequence.pictures) - 1
    chosen = np.unique(np.linspace(1, last, min(last, _CLIP_FRAMES)).round().astype(int))
    return [make_pair(sequence, 0, int(i), size) for i in chosen]
