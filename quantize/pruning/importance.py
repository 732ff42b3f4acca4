"""How much each channel of a group matters to the frame that the whole model makes."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import torch

from edgeanim.core.errors import GateFailed
from edgeanim.core.recipe import PruneSpec
from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.quantize.pruning.channels import ChannelGroup, kind_of
from edgeanim.quantize.pruning.surgeon import Surgeon
from edgeanim.quantize.pruning.takes import Takes
from edgeanim.quantize.pruning.whole import Played, WholeModel

# Each group by a name of its own, with the graph that it is in.
Groups = Mapping[str, tuple[str, ChannelGroup]]

_TAKES = 12
# Random projections of what each take comes to.
_PROJECTIONS = 2
# Added to nothing, so that a share of nothing is a number.
_NOTHING = 1e-30
# What other values count beside the frames.
_BESIDE = 0.1


def channel_scores(
    whole: WholeModel,
    surgeons: Mapping[str, Surgeon],
    groups: Groups,
    spec: PruneSpec,
    takes: Takes,
) -> dict[str, torch.Tensor]:
    """A score for each strand of each group, by the group's name; small ones can go first.

    `magnitude` is the squared norm of all weights of a channel, as a share of its group's; `taylor`
    what the frames change if the channel goes (see `taylor_scores`).
    """
    if spec.importance == "taylor":
        return taylor_scores(whole, groups, takes, seed=spec.seed)
    if spec.importance == "random":
        generator = torch.Generator().manual_seed(spec.seed)
        return {k: torch.rand(g.count, generator=generator) for k, (_, g) in groups.items()}
    norms = {key: surgeons[name].magnitude(g) for key, (name, g) in groups.items()}
    # A group of zeros alone is the first that can go.
    return {key: norm / norm.sum().clamp(min=_NOTHING) for key, norm in norms.items()}


def taylor_scores(
    whole: WholeModel, groups: Groups, takes: Takes, *, seed: int
) -> dict[str, torch.Tensor]:
    """The error that taking out each channel makes in the frames of `takes`, to second order.

    Think of a gate on each channel. The squared error against the unpruned outputs y has no first
    derivative at the open gates, so the first term that tells anything is the Gauss-Newton one,
    |dy/dgate|^2, every output divided by its own variance. It is estimated without bias from
    gradients of randomly signed sums of y (Hutchinson 1989); dy/dgate is the weights' gradient
    times the weights, summed over the channel (Molchanov et al. 2019). Since y is what the whole
    model makes, scores of different graphs compare.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = {k: torch.zeros(g.count, dtype=torch.float64) for k, (_, g) in groups.items()}
    for index in evenly(len(takes), _TAKES):
        played = whole(takes[int(index)])
        for remaining in reversed(range(_PROJECTIONS)):
            whole.zero_grad()
            _projected(played, generator).backward(retain_graph=remaining > 0)
            for key, (name, group) in groups.items():
                net = whole.net(name)
                gates = [
                    _gate_gradient(net.get_submodule(n))[torch.tensor(places)].sum(1)
                    for n, places in group.given_by.items()
                ]
                scores[key] += torch.stack(gates).sum(0).double().square()
    whole.zero_grad()
    require_finite(all(bool(torch.isfinite(score).all()) for score in scores.values()))
    return scores


def require_finite(found: bool) -> None:
    """`GateFailed` unless the importance was found to be numbers."""
    if not found:
        raise GateFailed(
            "The importance of the channels is not a number on these frames.",
            hint="Look at the calibration frames, or prune by magnitude.",
        )


def _projected(played: Played, generator: torch.Generator) -> torch.Tensor:
    """A randomly signed sum whose squared gradient is, on average, that of the relative error."""
    terms = []
    for number, roles in enumerate(played.frames):
        seen = played.seen(number, played.picture)
        values = [(0.0 if role == "frame" else _BESIDE, value) for role, value in roles.items()]
        for weight, value in [*values, (1.0, seen)]:
            if value is not None and weight and value.requires_grad:
                signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
                scale = sqrt(value.numel() * max(float(value.detach().var()), 1e-8))
                terms.append(weight * (value * signs).sum() / scale)
    return torch.stack(terms).sum()


def _gate_gradient(layer: Any) -> torch.Tensor:
    """The derivative by a gate on each output channel of a convolution."""
    products = layer.weight.grad * layer.weight.detach()
    if kind_of(layer) == "transposed":
        products = products.transpose(0, 1)
    gradient: torch.Tensor = products.flatten(1).sum(1)
    if layer.bias is not None:
        gradient = gradient + layer.bias.grad * layer.bias.detach()
    return gradient
