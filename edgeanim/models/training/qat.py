"""The last stage of a training: the networks learn to bear 8 bits.

Its steps are those of the generator's stage, but of networks that round as a runtime does (see
`fake_quant`), and with one more term: what the rounded networks make is to be what the same weights
make in float. Drift is counted from there, so likeness to the driving frame alone would not do.

The gradient of that term goes through both. Through the rounded networks alone it would chase its
own tail: rounding passes gradients, so what moves the rounded frame moves the float one along. Of
the two together, the errors of rounding taken for constant, there remains how much the networks
magnify these errors, and that is what they unlearn.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgeanim.models.training.batches import Batch
from edgeanim.models.training.config import LossWeights
from edgeanim.models.training.losses import dissimilarity
from edgeanim.models.training.stages import (
    Losses,
    Made,
    Networks,
    descend,
    make,
    reconstruction,
    values_of,
)

_COORDINATES = 2.5
"""What an error in motion or flow counts: half a picture off, 1 in their units, is a hundred pixels
and more. Where the still has no texture the frame's own error cannot tell."""
_SCORES = 0.1
"""What the regions' divergence counts, in nats per pixel."""


def qat_step(networks: Networks, batch: Batch, weights: LossWeights) -> Losses:
    """Reconstruct the driving frame with rounded networks, near to what they make in float.

    Batch norms keep their statistics: a runtime has folded them, so they are not to answer to
    rounding. All is computed in float32, whatever the training's precision: bfloat16 rounds about
    as coarsely as the 8 bits that are to be learned.
    """
    animator = networks.animator
    animator.eval()
    # Ranges come from the float networks, as calibration will find them.
    with networks.fake_quant.observed():
        wanted = make(animator, batch)
    with networks.fake_quant.rounded():
        made = make(animator, batch)
    terms = reconstruction(made, batch, weights, joint=True)
    terms["consistency"] = weights.consistency * inconsistency(made, wanted, batch)
    descend(terms, animator, networks.generator_optimizer, networks.regions_optimizer)
    return values_of(terms)


def inconsistency(made: Made, wanted: Made, batch: Batch) -> Tensor:
    """How far `made` is from `wanted` of the same batch, a number: of the frame mean absolute error
    and 1 - SSIM, which is what drift is, and what leads there."""
    even = torch.ones_like(batch.still[:, :1])
    frame = _apart(made.frame, wanted.frame) + dissimilarity(made.frame, wanted.frame, even)
    blend = _apart(made.alpha, wanted.alpha) + _apart(made.colour, wanted.colour)
    where = _apart(made.flow, wanted.flow) + _apart(made.motion, wanted.motion)
    scores = _divergence(made.predicted.scores, wanted.predicted.scores)
    return frame + 0.1 * blend + _COORDINATES * where + _SCORES * scores


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().mean()


def _divergence(scores: Tensor, wanted: Tensor) -> Tensor:
    """Of the regions' shares from the wanted ones, mean over pixels (Kullback and Leibler 1951)."""
    logs = scores.log_softmax(1), wanted.log_softmax(1)
    return functional.kl_div(*logs, reduction="none", log_target=True).sum(1).mean()
