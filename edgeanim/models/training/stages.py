"""One training step of each stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeanim.models.animator import Animator
from edgeanim.models.nets.discriminator import Discriminator
from edgeanim.models.nets.regions import Prediction
from edgeanim.models.regions import BACKGROUND, MIRRORED, TIPS
from edgeanim.models.training.batches import Batch
from edgeanim.models.training.config import LossWeights
from edgeanim.models.training.fake_quant import FakeQuant
from edgeanim.models.training.losses import (
    compose,
    dissimilarity,
    feature_matching,
    hinge_discriminator,
    mean_over,
    motion_weight,
    moving_patches,
    multiscale_l1,
    segmentation,
    smoothness,
)

_LEAST_COVER = 0.12
"""Share of a real clip's picture that regions must cover: less is the collapse to background."""
_GRADIENT_LIMIT = 1.0
Losses = dict[str, float]


@dataclass(frozen=True)
class Networks:
    """Everything that learns, each with its optimiser."""

    animator: Animator
    discriminator: Discriminator
    regions_optimizer: torch.optim.Optimizer
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    fake_quant: FakeQuant


@dataclass(frozen=True)
class Made:
    """What the networks make of a batch of N pairs. `predicted` and `motion` [2N, K, 6] are of the
    stills, then of the driving frames; `flow` [N, 2, h/4, w/4], `alpha` [N, 1, h/4, w/4] and
    `colour` [N, 3, h/4, w/4] make the `frame` from the still and the `warped` still, both
    [N, 3, h, w]. All are float32."""

    predicted: Prediction
    motion: Tensor
    flow: Tensor
    alpha: Tensor
    colour: Tensor
    frame: Tensor
    warped: Tensor


def regions_step(networks: Networks, batch: Batch) -> Losses:
    """Stage 1: segmentation where masks are known, agreement under mirroring where they are not."""
    net = networks.animator.regions
    frames = torch.cat([batch.still, batch.driving])
    cues = torch.cat([torch.zeros_like(batch.cue), batch.cue])
    predicted = net.predict(frames, cues)
    terms = _supervision(predicted, batch)
    unknown = torch.cat([batch.known, batch.known])[:, 0] == 0
    if bool(unknown.any()):
        mirrored = net.predict(frames[unknown].flip(3), cues[unknown].flip(3))
        terms["mirror"] = _agreement(predicted.scores[unknown], mirrored.scores)
        terms["cover"] = 5 * _uncovered(predicted.scores[unknown])
    descend(terms, net, networks.regions_optimizer)
    return values_of(terms)


def generator_step(
    networks: Networks, batch: Batch, weights: LossWeights, *, joint: bool, adversarial: bool
) -> Losses:
    """Stage 2: reconstruct the driving frame from the still and both motions."""
    animator = networks.animator
    animator.regions.train(joint)
    made = make(animator, batch, joint=joint)
    terms = reconstruction(made, batch, weights, joint=joint)
    if adversarial:
        terms |= _adversarial_terms(networks.discriminator, batch, made.frame, weights)
    optimizers = [networks.generator_optimizer]
    if joint:
        optimizers.append(networks.regions_optimizer)
    descend(terms, animator, *optimizers)
    if adversarial:
        terms["discriminator"] = _train_discriminator(networks, batch, made.frame.detach())
    return values_of(terms)


def make(animator: Animator, batch: Batch, *, joint: bool = True) -> Made:
    """Animate the stills of a batch; unless `joint`, no gradient reaches the regions."""
    frames = torch.cat([batch.still, batch.driving])
    cues = torch.cat([torch.zeros_like(batch.cue), batch.cue])
    with torch.set_grad_enabled(joint and torch.is_grad_enabled()):
        predicted = animator.regions.predict(frames, cues)
        mask, motion = predicted.masks_and_motion()
    count = len(batch.still)
    features = animator.encoder(batch.still, mask[:count])
    flow, alpha, colour = animator.generator(*features, motion[:count], motion[count:])
    frame, warped = compose(batch.still, flow, alpha, colour)
    return Made(predicted, motion, flow, alpha, colour, frame, warped)


def reconstruction(
    made: Made, batch: Batch, weights: LossWeights, *, joint: bool
) -> dict[str, Tensor]:
    """The weighted terms of what was made; with `joint`, what is known of the regions too."""
    weight = motion_weight(batch.still, batch.driving, weights.moving)
    weight = weight + weights.tips * _tips(batch)
    terms = {
        "pixels": weights.pixels * multiscale_l1(made.frame, batch.driving, weight),
        "structure": weights.structure * dissimilarity(made.frame, batch.driving, weight),
        "warp": weights.warp * _warp_error(made.warped, batch, weight),
        "flow": weights.flow * _flow_error(made.flow, batch),
        "visibility": weights.visibility * _visibility_error(made.alpha, batch),
        "smoothness": weights.smoothness * smoothness(made.flow),
    }
    if joint:
        terms |= {k: weights.regions * v for k, v in _supervision(made.predicted, batch).items()}
        unknown = torch.cat([batch.known, batch.known])[:, 0] == 0
        if bool(unknown.any()):
            terms["cover"] = _uncovered(made.predicted.scores[unknown])
    return terms


def _supervision(predicted: Prediction, batch: Batch) -> dict[str, Tensor]:
    """What is known of the regions of stills and driving frames, still first."""
    labels = torch.cat([batch.label_still, batch.label_driving])
    truth = torch.cat([batch.direction_still, batch.direction_driving])
    known = torch.cat([batch.known, batch.known])[:, :, None, None]
    shown = (labels < BACKGROUND).float().unsqueeze(1) * known
    error = (predicted.direction - truth).square().sum(1, keepdim=True)
    return {
        "regions": segmentation(predicted.scores, labels),
        "direction": mean_over(error, shown),
    }


def _adversarial_terms(
    discriminator: Discriminator, batch: Batch, frame: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    """What the generator's loss has of the discriminator, which is not trained by it."""
    discriminator.requires_grad_(False)
    made, made_features = discriminator(batch.still, frame)
    with torch.no_grad():
        _, real_features = discriminator(batch.still, batch.driving)
    discriminator.requires_grad_(True)
    share = moving_patches(batch.still, batch.driving, made)
    return {
        "adversarial": -weights.adversarial * mean_over(made, share),
        "features": weights.features * feature_matching(real_features, made_features),
    }


def _train_discriminator(networks: Networks, batch: Batch, frame: Tensor) -> Tensor:
    """Take its step and return its loss. Where nothing moves, both frames are the still: nothing
    can be told there, and most patches are such."""
    real, _ = networks.discriminator(batch.still, batch.driving)
    made, _ = networks.discriminator(batch.still, frame)
    loss = hinge_discriminator(real, made, moving_patches(batch.still, batch.driving, real))
    descend({"d": loss}, networks.discriminator, networks.discriminator_optimizer)
    return loss


def _tips(batch: Batch) -> Tensor:
    """1 where the driving frame is known to show a limb's tip, an eye or a mouth: [N, 1, h, w]."""
    tips = torch.tensor(TIPS, device=batch.label_driving.device)
    shown = torch.isin(batch.label_driving, tips).float().unsqueeze(1)
    return functional.interpolate(shown, batch.driving.shape[2:], mode="nearest")


def _warp_error(warped: Tensor, batch: Batch, weight: Tensor) -> Tensor:
    """L1 of the warped still alone, where the still shows the place, as far as that is known."""
    size = warped.shape[2:]
    share = functional.interpolate(batch.visible, size, mode="nearest") * weight
    return ((warped - batch.driving).abs() * share).mean() / share.mean()


def _flow_error(flow: Tensor, batch: Batch) -> Tensor:
    """L1 to the flow where it is to be believed; what moves counts more."""
    moving = (batch.flow.abs().amax(1, keepdim=True) > 0.015).float()
    share = batch.flow_weight * (1 + 4 * moving)
    error = (flow - batch.flow).abs().sum(1, keepdim=True).clamp(max=1.0)
    return mean_over(error, share)


def _visibility_error(alpha: Tensor, batch: Batch) -> Tensor:
    """Alpha should be 0 where the still cannot show the place, as far as that is known."""
    entropy = functional.binary_cross_entropy(
        alpha.clamp(1e-4, 1 - 1e-4), batch.visible, reduction="none"
    )
    return (entropy * batch.visible_weight).mean()


def _agreement(scores: Tensor, mirrored: Tensor) -> Tensor:
    """Symmetric cross-entropy between a prediction and the mirrored picture's, mirrored back."""
    order = torch.tensor([*MIRRORED, BACKGROUND], device=scores.device)
    back = mirrored.flip(3)[:, order]
    one = -(scores.detach().softmax(1) * back.log_softmax(1)).sum(1).mean()
    other = -(back.detach().softmax(1) * scores.log_softmax(1)).sum(1).mean()
    return 0.25 * (one + other)


def _uncovered(scores: Tensor) -> Tensor:
    cover = 1 - scores.softmax(1)[:, BACKGROUND].mean((1, 2))
    return functional.relu(_LEAST_COVER - cover).mean()


def descend(
    terms: dict[str, Tensor], module: nn.Module, *optimizers: torch.optim.Optimizer
) -> None:
    """One step of the optimisers, which move all or a part of `module`, down the sum of the
    terms."""
    # Of all of it: what an earlier stage left to a part at rest would count in the norm, until a
    # kill and a resume have lost it.
    module.zero_grad(set_to_none=True)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    norm = nn.utils.clip_grad_norm_(module.parameters(), _GRADIENT_LIMIT)
    # One bad batch must not poison the weights: a step that is not finite is not taken.
    if bool(torch.isfinite(norm)):
        for optimizer in optimizers:
            optimizer.step()


def values_of(terms: dict[str, Tensor]) -> Losses:
    """The terms as numbers, fetched together: an accelerator is waited for once."""
    values = torch.stack([value.detach().float() for value in terms.values()]).tolist()
    return dict(zip(terms, values, strict=True))
