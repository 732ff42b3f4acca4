"""Taking channels out of a traced module: which belong together, what they weigh, and the cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from edgeanim.quantize.disjoint import Ids
from edgeanim.quantize.pruning.channels import (
    ChannelGroup,
    Places,
    PrunedGroup,
    gives_channels,
    kind_of,
)
from edgeanim.quantize.pruning.moves import update_sizes
from edgeanim.quantize.pruning.strands import FIXED, find_strands

# What a layer holds for each channel that it reads, beside a convolution's weight.
_HELD_EACH = ("weight", "bias", "running_mean", "running_var")
# What a layer that is no convolution calls the number of channels that it reads. A PReLU with one
# slope for all has none.
_COUNTS = ("num_features", "num_channels", "normalized_shape", "num_parameters")


def apply_groups(
    module: fx.GraphModule, example: Sequence[torch.Tensor], groups: Sequence[PrunedGroup]
) -> None:
    """Take these channels out of an unpruned `module`, in place; `KeyError` or `IndexError` if they
    are of another one."""
    surgeon = Surgeon(module, example)
    surgeon.cut([strand for group in groups for strand in surgeon.strands_of(group)])


class Surgeon:
    """Knows of one module which channels every layer has, and changes all of them together."""

    def __init__(self, module: fx.GraphModule, example: Sequence[torch.Tensor]) -> None:
        self._module = module
        self._layers = dict(module.named_modules())
        self._whole = self._now = find_strands(module, example)
        self._giving = [name for name in self._now.made if gives_channels(self.layer(name))]
        self._groups = self._alike()

    def layer(self, name: str) -> Any:
        """The module of this name."""
        return self._layers[name]

    def groups(self) -> tuple[ChannelGroup, ...]:
        """All groups that have more than one strand left, in the order of their roots in the graph,
        with the places of their channels now."""
        now = self._now
        left = {s for ids in now.made.values() for s in ids.tolist()}
        groups = {name: [s for s in strands if s in left] for name, strands in self._groups.items()}
        return tuple(self._group(n, np.array(ids)) for n, ids in groups.items() if len(ids) > 1)

    def strands_of(self, group: PrunedGroup) -> list[int]:
        """What has these of the unpruned module's channels; `KeyError` or `IndexError` if there are
        none such, or they cannot go."""
        made = self._whole.made[group.root]
        if not set(group.pruned) <= set(range(len(made))):
            raise IndexError(f"{group.root} has no channel {max(group.pruned)}")
        strands = made[list(group.pruned)].tolist()
        if FIXED in strands:
            raise IndexError(f"{group.root} has channels that cannot go")
        return sorted(set(strands))

    def magnitude(self, group: ChannelGroup) -> torch.Tensor:
        """The summed squares of the weights of convolutions that go with each strand."""
        score = torch.zeros(group.count)
        for side, holders in (("outputs", group.given_by), ("inputs", group.taken_by)):
            for name, places in holders.items():
                norms = along(self.layer(name), side).square().flatten(1).sum(1)
                score += norms[torch.tensor(places)].sum(1)
        return score

    def outputs_left(self) -> dict[str, list[int]]:
        """Which outputs each layer that makes channels has left, by their numbers in the unpruned
        module."""
        now = self._now.made
        return {n: np.flatnonzero(np.isin(i, now[n])).tolist() for n, i in self._whole.made.items()}

    def cut(self, strands: Collection[int]) -> None:
        """Take all channels of these strands out of the module."""
        gone = np.array(sorted(strands), np.int64)
        before, self._now = self._now, self._now.without(gone)
        for name, read in before.read.items():
            _keep(self.layer(name), _kept(read, gone), _kept(before.made[name], gone))
        for name, ids in before.parameters.items():
            _keep_numbers(self._module, name, _kept(ids, gone))
        for node in before.moves:
            update_sizes(node, before.along, self._now.along)
        self._module.recompile()

    def _alike(self) -> dict[str, list[int]]:
        """The strands of each group, by its name: those that every layer, parameter and move has as
        many channels of. So no part of a split is ever left without any."""
        now = self._now
        holders = [*now.made.values(), *now.read.values(), *now.parameters.values()]
        holders += [along.strands for along in now.along.values()]
        most = 1 + max((int(ids.max(initial=FIXED)) for ids in holders), default=FIXED)
        counts = [np.bincount(ids, minlength=most) for ids in holders]
        alike: dict[tuple[int, ...], list[int]] = {}
        for strand in sorted({s for ids in now.made.values() for s in ids.tolist()} - {FIXED}):
            alike.setdefault(tuple(int(c[strand]) for c in counts), []).append(strand)
        found: dict[str, list[list[int]]] = {name: [] for name in self._giving}
        for strands in alike.values():
            root = next(n for n in self._giving if strands[0] in now.made[n])
            found[root].append(strands)
        return {
            f"{root}+{number}" if number else root: strands
            for root, each in found.items()
            for number, strands in enumerate(each)
        }

    def _group(self, name: str, strands: Ids) -> ChannelGroup:
        now = self._now
        made = {n: places for n in self._giving if (places := _places(now.made[n], strands))}
        read = {
            n: places
            for n, ids in now.read.items()
            if _holds_channels(self.layer(n)) and (places := _places(ids, strands))
        }
        changed = [n for n in now.read if n in made or n in read]
        numbers = [n for n, ids in now.parameters.items() if np.isin(ids, strands).any()]
        taken = {n: places for n, places in read.items() if _is_layer(self.layer(n))}
        root, members = next(iter(made)), (*changed, *numbers)
        return ChannelGroup(name, root, tuple(strands.tolist()), members, made, taken)


def along(layer: Any, side: str) -> torch.Tensor:
    """A layer's weight with its input or output channels as the first axis."""
    weight: torch.Tensor = layer.weight.detach()
    kind = kind_of(layer)
    if side == ("inputs" if kind == "transposed" else "outputs"):
        return weight
    if kind is None:  # a linear layer
        return weight.T
    # Of each group by itself; a plain one is one.
    return weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)


def _places(ids: Ids, strands: Ids) -> Places:
    """Where each of the strands is in `ids`, which holds all equally often."""
    order = np.argsort(ids, kind="stable")
    order = order[np.isin(ids[order], strands)]
    return tuple(map(tuple, order.reshape(len(strands), -1).tolist())) if len(order) else ()


def _kept(ids: Ids, gone: Ids) -> torch.Tensor | None:
    """Which places stay once these strands are gone; `None` if all do."""
    stays = ~np.isin(ids, gone)
    return None if stays.all() else torch.from_numpy(np.flatnonzero(stays))


def _holds_channels(layer: Any) -> bool:
    """Whether a layer knows how many channels it reads."""
    return _is_layer(layer) or any(_count(layer, name) > 1 for name in _COUNTS)


def _is_layer(layer: Any) -> bool:
    return kind_of(layer) is not None or gives_channels(layer)


def _count(layer: Any, name: str) -> int:
    """How many channels a layer says that it has; a layer norm has a shape of one axis."""
    stated = getattr(layer, name, 1)
    return int(stated[-1]) if isinstance(stated, tuple) else stated


def _keep(layer: Any, read: torch.Tensor | None, made: torch.Tensor | None) -> None:
    """Let a layer have these of its input and output channels only (`None`: all)."""
    if kind_of(layer) is not None:
        _keep_convolved(layer, read, made)
    elif isinstance(layer, nn.Linear):
        weight = layer.weight.detach()
        weight = weight if read is None else weight[:, read]
        if made is not None:
            weight = weight[made]
            _keep_bias(layer, made)
        layer.weight = nn.Parameter(weight)
        layer.out_features, layer.in_features = weight.shape
    elif _holds_channels(layer) and read is not None:
        for name in _HELD_EACH:
            held = getattr(layer, name, None)
            if isinstance(held, nn.Parameter):
                setattr(layer, name, nn.Parameter(held.detach()[read]))
            elif held is not None:
                setattr(layer, name, held[read])
        for name in _COUNTS:
            if hasattr(layer, name):
                count = len(read)
                setattr(layer, name, (count,) if name == "normalized_shape" else count)


def _keep_convolved(layer: Any, read: torch.Tensor | None, made: torch.Tensor | None) -> None:
    weight, kind = layer.weight.detach(), kind_of(layer)
    first, second = (read, made) if kind == "transposed" else (made, read)
    if first is not None:
        weight = weight.index_select(0, first)
    if kind == "grouped":  # what a group that stays reads, all stays
        layer.groups = layer.groups * len(weight) // len(layer.weight)
    elif second is not None:
        weight = weight.index_select(1, second)
    layer.weight = nn.Parameter(weight)
    if made is not None:
        _keep_bias(layer, made)
        layer.out_channels = len(made)
    layer.in_channels = layer.in_channels if read is None else len(read)


def _keep_bias(layer: Any, made: torch.Tensor) -> None:
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[made])


def _keep_numbers(module: fx.GraphModule, name: str, kept: torch.Tensor | None) -> None:
    """Let a parameter [..., C, 1, 1] of the module itself have these of its channels only."""
    if kept is not None:
        numbers = module.get_parameter(name).detach()
        setattr(module, name, nn.Parameter(numbers.index_select(numbers.ndim - 3, kept)))
