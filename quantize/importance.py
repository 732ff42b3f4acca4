"""How much each channel of a group matters to what the graph gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeanim.core.artifact import Array, Samples
from edgeanim.core.errors import GateFailed
from edgeanim.core.recipe import PruneSpec
from edgeanim.quantize.channels import ChannelGroup, Surgeon
from edgeanim.quantize.recover import one_thread

if TYPE_CHECKING:
    import torch

_SAMPLES = 24
# Random projections of the outputs for each sample.
_PROJECTIONS = 2


def channel_scores(
    surgeon: Surgeon,
    groups: Sequence[ChannelGroup],
    spec: PruneSpec,
    samples: Samples,
    input_names: Sequence[str],
) -> dict[str, torch.Tensor]:
    """A score for each channel of each group, by the group's root; small ones can go first.

    `magnitude` is the norm of all weights that go with a channel, as a share of its group's;
    `taylor` what the outputs change if the channel goes (see `taylor_scores`).
    """
    import torch

    if spec.importance == "taylor":
        with one_thread():
            return taylor_scores(surgeon, groups, samples, input_names, seed=spec.seed)
    if spec.importance == "random":
        generator = torch.Generator().manual_seed(spec.seed)
        return {g.root: torch.rand(g.channels, generator=generator) for g in groups}
    norms = {group.root: surgeon.magnitude(group.root) for group in groups}
    return {root: norm / norm.sum() for root, norm in norms.items()}


def taylor_scores(
    surgeon: Surgeon,
    groups: Sequence[ChannelGroup],
    samples: Samples,
    input_names: Sequence[str],
    *,
    seed: int,
) -> dict[str, torch.Tensor]:
    """The error that taking out each channel makes in the outputs on `samples`, to second order.

    Think of a gate on each channel. The squared error against the unpruned outputs y has no first
    derivative at the open gates, so the first term that tells anything is the Gauss-Newton one,
    |dy/dgate|^2, every output divided by its own variance. It is estimated without bias from
    gradients of randomly signed sums of y (Hutchinson 1989); dy/dgate is the weights' gradient
    times the weights, summed over the channel (Molchanov et al. 2019).
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    module = surgeon.module
    layers = {name: surgeon.layer(name) for group in groups for name in group.given_by}
    scores = {group.root: torch.zeros(group.channels, dtype=torch.float64) for group in groups}
    for sample in islice(samples, _SAMPLES):
        outputs = module(*_tensors(sample, input_names))
        for left in reversed(range(_PROJECTIONS)):
            module.zero_grad()
            _projected(outputs, generator).backward(retain_graph=left > 0)
            for group in groups:
                gates = [_gate_gradient(layers[name]) for name in group.given_by]
                scores[group.root] += torch.stack(gates).sum(0).double().square()
    module.zero_grad()
    if not all(bool(torch.isfinite(score).all()) for score in scores.values()):
        raise GateFailed(
            "The importance of the channels is not a number on these samples.",
            hint="Look at the calibration frames, or prune by magnitude.",
        )
    return scores


def _projected(outputs: Sequence[torch.Tensor], generator: torch.Generator) -> torch.Tensor:
    """A randomly signed sum whose squared gradient is, on average, that of the relative error."""
    import torch

    terms = []
    for output in outputs:
        signs = torch.randint(0, 2, output.shape, generator=generator) * 2 - 1
        scale = float(np.sqrt(output.numel() * max(float(output.detach().var()), 1e-8)))
        terms.append((output * signs).sum() / scale)
    return torch.stack(terms).sum()


def _gate_gradient(layer: Any) -> torch.Tensor:
    """The derivative by a gate on each output channel of a convolution."""
    gradient: torch.Tensor = (layer.weight.grad * layer.weight.detach()).flatten(1).sum(1)
    if layer.bias is not None:
        gradient = gradient + layer.bias.grad * layer.bias.detach()
    return gradient


def _tensors(sample: Mapping[str, Array], names: Sequence[str]) -> list[torch.Tensor]:
    import torch

    return [torch.from_numpy(np.ascontiguousarray(sample[name])) for name in names]
