"""Trained networks, scored as they are in PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgeanim.models.animator import Animator
from edgeanim.models.data.media import scaled
from edgeanim.models.data.pairs import MASK_STRIDE, Pair
from edgeanim.models.evaluation.affine import affine_warp
from edgeanim.models.evaluation.reenact import Made
from edgeanim.models.evaluation.similarity import Picture
from edgeanim.models.nets.blocks import fold_batch_norm
from edgeanim.models.training.losses import compose


class Networks:
    """An animator's networks; who asks keeps them as they are. Batch norms are folded first: the
    same results in less time.

    They see pictures of their own size; the still is warped in full, as the player does it.
    """

    def __init__(self, animator: Animator) -> None:
        self.animator = fold_batch_norm(deepcopy(animator))

    @property
    def size(self) -> int:
        return int(self.animator.config.size)

    def reenact(self, still: Picture, driver: Iterable[Picture]) -> NetworksReenactment:  # noqa: ARG002
        return NetworksReenactment(self.animator, still)


class NetworksReenactment:
    """One still, encoded once."""

    def __init__(self, animator: Animator, still: Picture) -> None:
        self._animator = animator
        with torch.no_grad():
            self._still = torch.from_numpy(still)[None]
            shown = seen(still, animator.config.size)
            mask, self._motion = animator.regions(shown, torch.zeros_like(shown))
            self._features = animator.encoder(shown, mask)

    def make(self, pair: Pair, before: Pair, number: int) -> tuple[Made, Made]:  # noqa: ARG002
        size, count = self._animator.config.size, 2
        with torch.no_grad():
            frames, cues = (
                torch.cat([seen(picture, size) for picture in pictures])
                for pictures in ((pair.driving, before.driving), (pair.cue, before.cue))
            )
            predicted = self._animator.regions.predict(frames, cues)
            _, motion = predicted.masks_and_motion()
            still = self._still.expand(count, -1, -1, -1)
            features = (f.expand(count, -1, -1, -1) for f in self._features)
            own = self._motion.expand(count, -1, -1)
            made, _ = compose(still, *self._animator.generator(*features, own, motion))
        now, then = (
            Made(
                picture, affine_warp(self._still[0].numpy(), self._motion[0].numpy(), moved), label
            )
            for picture, moved, label in zip(
                made.contiguous().numpy(),
                motion.numpy(),
                self._labels(predicted.scores),
                strict=True,
            )
        )
        return now, then

    def _labels(self, scores: Tensor) -> NDArray[np.int64]:
        """The likeliest region at each pixel of a quarter of the pictures' size: [N, h/4, w/4]."""
        side = self._still.shape[3] // MASK_STRIDE
        if scores.shape[3] != side:
            scores = functional.interpolate(scores, (side, side), mode="bilinear")
        labels: NDArray[np.int64] = scores.argmax(1).numpy()
        return labels


def seen(picture: Picture, size: int) -> Any:
    """A picture [3, h, w] as the player shows it to networks of `size`: [1, 3, size, size]."""
    across = scaled(picture.transpose(1, 2, 0), (size, size))
    return torch.from_numpy(across.transpose(2, 0, 1).copy())[None]
