"""Self-reenactment: a still and the driver's frames in, made frames and what was found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.media import scaled
from edgeanim.models.evaluation.similarity import Picture
from edgeanim.models.regions import BACKGROUND

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator


@dataclass(frozen=True)
class Made:
    """`frame` is the animator's, `affine` that of its regions' affine warp without the generator;
    `label` [h/4, w/4] is the driver's likeliest region at each pixel."""

    frame: Picture
    affine: Picture
    label: NDArray[np.int64]

    @property
    def cover(self) -> float:
        """The share of the picture that regions take."""
        return float((self.label != BACKGROUND).mean())


class Reenactment:
    """One still, encoded once, that any number of driving frames animate (absolute motion).

    The networks see pictures of their animator's own size; the still is warped in full, as the
    player does it.
    """

    def __init__(self, animator: Animator, still: Picture) -> None:
        import torch

        self._animator = animator
        with torch.no_grad():
            self._still = torch.from_numpy(still)[None]
            shown = self._seen(still)
            mask, self._motion = animator.regions(shown, torch.zeros_like(shown))
            self._features = animator.encoder(shown, mask)

    def make(self, driving: Sequence[Picture], cues: Sequence[Picture]) -> list[Made]:
        """The frames that each of `driving` [3, h, w] and its cue call for."""
        import torch

        from edgeanim.models.training.losses import compose

        count = len(driving)
        with torch.no_grad():
            frames = (torch.cat([self._seen(p) for p in pictures]) for pictures in (driving, cues))
            reading = self._animator.regions.read(*frames)
            _, motion = reading.masks_and_motion()
            still = self._still.expand(count, -1, -1, -1)
            features = (f.expand(count, -1, -1, -1) for f in self._features)
            own = self._motion.expand(count, -1, -1)
            frame, _ = compose(still, *self._animator.generator(*features, own, motion))
            affine = self._affine(reading.scores, still, own, motion)
        labels = self._labels(reading.scores)
        parts = zip(_pictures(frame), _pictures(affine), labels, strict=True)
        return [Made(*part) for part in parts]

    def _seen(self, picture: Picture) -> Any:
        return seen(picture, self._animator.config.size)

    def _labels(self, scores: Any) -> NDArray[np.int64]:
        """The likeliest region at each pixel of a quarter of the pictures' size: [N, h/4, w/4]."""
        import torch

        side = self._still.shape[3] // 4
        if scores.shape[3] != side:
            scores = torch.nn.functional.interpolate(scores, (side, side), mode="bilinear")
        labels: NDArray[np.int64] = scores.argmax(1).numpy()
        return labels

    def _affine(self, like: Any, still: Any, own: Any, motion: Any) -> Any:
        import torch

        from edgeanim.models.nets.generator import (
            NEUTRAL_SCORE,
            affine_coefficients,
            compose_flows,
        )
        from edgeanim.models.training.losses import warp

        neutral = torch.full_like(like[:, :BACKGROUND], NEUTRAL_SCORE)
        return warp(still, compose_flows(neutral, *affine_coefficients(own, motion)))


def seen(picture: Picture, size: int) -> Any:
    """A picture [3, h, w] as the player shows it to networks of `size`: [1, 3, size, size]."""
    import torch

    across = scaled(picture.transpose(1, 2, 0), (size, size))
    return torch.from_numpy(across.transpose(2, 0, 1).copy())[None]


def _pictures(tensor: Any) -> Picture:
    values: Picture = tensor.contiguous().numpy()
    return values
