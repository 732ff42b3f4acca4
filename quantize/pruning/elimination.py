"""Backward elimination of channels: which the layers that read them can best do without, if their
other weights compensate.

Let X be the inputs of a layer's weights W at some places, and H = X'X. Setting the rows g of W to
zero costs least squared error if the others become W_k + H_kk^-1 H_kg W_g; that error is the trace
of W_g' ((H^-1)_gg)^-1 W_g. This is the Optimal Brain Surgeon's result for single weights (Hassibi
and Stork 1993), and that of Kurtic et al., "ZipLM: Inference-Aware Structured Pruning of Language
Models" (2023), for all weights of a channel. The channel that costs least is eliminated, W and H^-1
become those of the rest, and so on. A channel that others determine costs nothing, however large
its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from edgeanim.quantize.pruning.channels import Places, channels_read, gives_channels, kind_of
from edgeanim.quantize.pruning.layer_fit import (
    PLACES,
    patches,
    ridge_of,
    rows_of,
    set_rows,
    with_bias_column,
)
from edgeanim.quantize.pruning.surgeon import along

# A layer of more weights than this per output counts each channel as a whole: what is solved grows
# with the cube of them.
_MOST_ROWS = 1152
_LEAST_POWER = 1e-8


@dataclass(frozen=True)
class InputStats:
    """The second `moments` of what a layer reads at some places: the mean of X'X, float64 [n, n].

    A convolution's X are its patches, with `taps` columns for each channel; or just the channels,
    with one column each. A last column is 1 if the layer has a bias. `power` is the variance of the
    layer's outputs, summed over its channels.
    """

    moments: Tensor
    taps: int
    power: float

    def columns(self, channels: Sequence[int]) -> Tensor:
        """Those of these input channels, int64 [channels * taps]."""
        first = torch.tensor(channels, dtype=torch.int64)[:, None] * self.taps
        return (first + torch.arange(self.taps)).flatten()


@dataclass(frozen=True)
class Problem:
    """The least-squares problem of a layer that reads a group of channels.

    `weights` float64 [n, m] belong to the columns of `moments` [n, n]; `columns` int64 [C, c] says
    which are each strand's. `share` is the factor from a squared error to one relative to the
    variance of the layer's outputs.
    """

    moments: Tensor
    weights: Tensor
    columns: Tensor
    share: float


def read_moments(
    module: nn.Module, batches: Iterable[Sequence[Tensor]], generator: torch.Generator
) -> dict[str, InputStats]:
    """The moments of what each layer of `module` that mixes channels reads, at random places of
    these inputs, by the layer's name."""
    looks = {n: _MomentSums(layer) for n, layer in module.named_modules() if gives_channels(layer)}

    def hook(look: _MomentSums) -> Any:
        return lambda _layer, given, made: look(given[0], made, generator)

    hooks = [look.layer.register_forward_hook(hook(look)) for look in looks.values()]
    try:
        with torch.no_grad():
            for batch in batches:
                module(*batch)
    finally:
        for each in hooks:
            each.remove()
    return {name: look.stats() for name, look in looks.items() if look.rows}


class _MomentSums:
    """Sums up what one layer reads, call by call."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        taps = layer.weight[0, 0].numel()
        whole = kind_of(layer) != "plain" or layer.in_channels * taps > _MOST_ROWS
        self._taps = 1 if whole else taps
        count = channels_read(layer) * self._taps + (layer.bias is not None)
        self._moments = torch.zeros(count, count, dtype=torch.float64)
        self._power: list[float] = []
        self.rows = 0

    def __call__(self, given: Tensor, made: Tensor, generator: torch.Generator) -> None:
        if isinstance(self.layer, nn.Linear):
            given, made = (rows.flatten(0, -2)[:, :, None, None] for rows in (given, made))
        places = (made if self._taps > 1 else given)[:, 0].numel()
        chosen = torch.randperm(places, generator=generator)[:PLACES]
        if self._taps > 1:
            met = patches(self.layer, given, chosen)
        else:
            met = given.movedim(1, -1).flatten(0, -2)[chosen]
        met = with_bias_column(self.layer, met)
        self._moments += (met.T @ met).double()
        self._power.append(float(_power(made)))
        self.rows += len(met)

    def stats(self) -> InputStats:
        power = sum(self._power) / len(self._power)
        return InputStats(self._moments / self.rows, self._taps, max(power, _LEAST_POWER))


def _power(made: Tensor) -> Tensor:
    """The variance of what a layer makes, [N, C, H, W], summed over its channels; of a single place
    its square."""
    alone = made[:, 0].numel() == 1
    return (made.square() if alone else made.var((0, 2, 3), unbiased=False)).sum()


def problem_of(layer: Any, stats: InputStats, places: Places) -> Problem:
    """The problem of `layer`, whose inputs hold the strands of a group at these places."""
    columns = torch.stack([stats.columns(each) for each in places])
    moments = stats.moments + ridge_of(stats.moments, channels_read(layer) * stats.taps)
    return Problem(moments, _weights(layer, stats.taps), columns, 1 / stats.power)


def elimination_order(problems: Sequence[Problem]) -> list[int]:
    """All channels of the group that the `problems` have in common, in the order of elimination:
    each costs least, summed over the problems, once those before it are gone."""
    inverses = [torch.linalg.inv(problem.moments) for problem in problems]
    weights = [problem.weights.clone() for problem in problems]
    left = list(range(len(problems[0].columns)))
    gone = []
    while left:
        costs = torch.zeros(len(left), dtype=torch.float64)
        for problem, inverse, rest in zip(problems, inverses, weights, strict=True):
            columns = problem.columns[left]
            corners = inverse[columns[:, :, None], columns[:, None, :]]
            own = rest[columns]
            costs += problem.share * (own * torch.linalg.solve(corners, own)).sum((1, 2))
        channel = left.pop(int(costs.argmin()))
        gone.append(channel)
        for problem, inverse, rest in zip(problems, inverses, weights, strict=True):
            _eliminate(inverse, rest, problem.columns[channel])
    return gone


def _eliminate(inverse: Tensor, weights: Tensor, columns: Tensor) -> None:
    """Make `inverse` that of the moments without these columns, and let `weights` compensate for
    them, in place."""
    across = torch.linalg.solve(inverse[columns][:, columns], inverse[columns])
    weights -= across.T @ weights[columns]
    weights[columns] = 0.0
    inverse -= inverse[:, columns] @ across
    # They are never looked at again; zeros keep what rounding left of them out of the rest.
    inverse[columns] = 0.0
    inverse[:, columns] = 0.0


def compensated_weights(problem: Problem, gone: Sequence[int]) -> Tensor:
    """The weights float64 [n, m] with those of the channels `gone` zero and the others such that
    they compensate with the least squared error."""
    weights = problem.weights.clone()
    out = problem.columns[list(gone)].flatten()
    stays = torch.ones(len(weights), dtype=torch.bool)
    stays[out] = False
    moments = problem.moments[stays]
    weights[stays] += torch.linalg.solve(moments[:, stays], moments[:, out] @ weights[out])
    weights[out] = 0.0
    return weights


def set_weights(layer: Any, taps: int, weights: Tensor) -> None:
    """Give `layer` the weights of a problem posed for so many `taps`."""
    if taps > 1:
        set_rows(layer, weights)
        return
    held = along(layer, "inputs")
    held.copy_(weights[: channels_read(layer)].reshape(held.shape))
    if layer.bias is not None:
        sums = weights[-1].unflatten(0, (held.shape[1], -1)).sum(1)
        # Of a transposed convolution's taps only so many meet at a place.
        meet = prod(layer.stride) if kind_of(layer) == "transposed" else 1
        layer.bias.data += (sums / meet).to(layer.bias.dtype)


def _weights(layer: Any, taps: int) -> Tensor:
    """A layer's weights as a problem has them, with its bias as the last; or, where channels count
    as a whole, with zeros that become a change of it."""
    if taps > 1:
        return rows_of(layer).double()
    held = along(layer, "inputs").flatten(1).double()
    return held if layer.bias is None else torch.cat([held, held.new_zeros(1, held.shape[1])])
