"""How many strands of channels stay of each group: the same share of all, or where it costs least.

Taking a block of strands out of a group does some damage (`ranking`) and saves some
cost: multiply-accumulates, or time measured layer by layer on the target (`layer_times`).
The blocks with the least damage per cost saved go first, until the share asked for is saved: the
greedy form of the knapsack of Shen et al., "Structural Pruning via Latency-Saliency Knapsack",
2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from edgeanim.quantize.pruning.channels import ChannelGroup

# A layer's cost by how many input and output channels it has left.
LayerCost = Callable[[int, int], float]
# What the model loses if the group of this name has so many strands left.
Damage = Callable[[str, int], float]

# A group keeps this share of what an equal cut of all groups would leave it, as long as the others
# can give the rest: a strait chokes all that lies behind it, which the damage of a first small cut
# does not tell. Where they cannot, it keeps at least the smaller share of its channels.
_LEAST_OF_EQUAL = 0.56
LEAST_LEFT = 0.125


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: its channels, and its cost with other numbers of them."""

    inputs: int
    outputs: int
    cost: LayerCost


def uniform(channels: int, ratio: float, unit: int) -> int:
    """How many of `channels` stay: the multiple of `unit` nearest to what the ratio asks for, but
    at least one multiple, and all where that would be no fewer."""
    multiples = max(1, round((1 - ratio) * channels / unit))
    return min(channels, multiples * unit)


def cheapest(
    groups: Sequence[ChannelGroup],
    damage: Damage,
    layers: Mapping[str, Layer],
    *,
    ratio: float,
    unit: int,
    left: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """How many strands of each group stay, by name, once `ratio` of all layers' cost is saved.

    `left` says how many each group has now (all, if it is not given). Every group that shrinks
    keeps a multiple of `unit` channels; one whose going saves nothing stays. Where the share cannot
    be reached, as much as possible goes.
    """
    widths = _Widths(layers)
    before = widths.cost(layers)
    start = {group.name: group.count for group in groups} if left is None else left
    for group in groups:
        widths.remove(group, group.count - start[group.name])
    left = dict(start)
    # Cost goes with the product of two groups, so an equal cut leaves the square root of the share.
    for least in (max(LEAST_LEFT, _LEAST_OF_EQUAL * sqrt(1 - ratio)), LEAST_LEFT):
        floors = {g.name: _floor(g.count, least, g.step(unit)) for g in groups}
        while (missing := widths.cost(layers) - (1 - ratio) * before) > 0:
            best = _best_block(groups, damage, widths, left, floors, unit, missing)
            if best is None:
                break
            group, then = best
            widths.remove(group, left[group.name] - then)
            left[group.name] = then
    return left


def _best_block(
    groups: Sequence[ChannelGroup],
    damage: Damage,
    widths: _Widths,
    left: Mapping[str, int],
    floors: Mapping[str, int],
    unit: int,
    missing: float,
) -> tuple[ChannelGroup, int] | None:
    """The group whose next block does the least damage for what it saves of what is `missing`, and
    how many strands it keeps then; `None` if no group has one above its floor."""
    best: tuple[tuple[float, float], ChannelGroup, int] | None = None
    for group in groups:
        now, step = left[group.name], group.step(unit)
        then = (now - 1) // step * step
        if then < floors[group.name]:
            continue
        saved = widths.saving(group, now - then)
        if saved <= 0:
            continue
        done = max(0.0, damage(group.name, then) - damage(group.name, now))
        rate = (done / min(saved, missing), -saved)
        if best is None or rate < best[0]:
            best = (rate, group, then)
    return None if best is None else best[1:]


def largest_cut(groups: Sequence[ChannelGroup], layers: Mapping[str, Layer], unit: int) -> float:
    """The share of all layers' cost that is saved where every group keeps as few channels as it
    may, in multiples of `unit`."""
    whole = cost_of(groups, layers)
    least = {g.name: min(g.count, _floor(g.count, LEAST_LEFT, g.step(unit))) for g in groups}
    return 1 - cost_of(groups, layers, least) / whole if whole else 0.0


def cost_of(
    groups: Sequence[ChannelGroup],
    layers: Mapping[str, Layer],
    left: Mapping[str, int] | None = None,
) -> float:
    """The summed cost of all layers, with so many strands `left` of each group (or all)."""
    widths = _Widths(layers)
    for group in groups if left is not None else ():
        widths.remove(group, group.count - (left or {})[group.name])
    return widths.cost(layers)


def _floor(strands: int, least: float, step: int) -> int:
    """The fewest strands that a group may keep, of which it is to keep the share `least`."""
    return max(1, round(least * strands / step)) * step


class _Widths:
    """How many channels every layer has left."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers = layers
        self._inputs = {name: layer.inputs for name, layer in layers.items()}
        self._outputs = {name: layer.outputs for name, layer in layers.items()}

    def cost(self, names: Mapping[str, object]) -> float:
        """The summed cost of the layers of these names; one that is not known costs nothing."""
        known = [name for name in names if name in self._layers]
        return sum(self._layers[n].cost(self._inputs[n], self._outputs[n]) for n in known)

    def remove(self, group: ChannelGroup, count: int) -> None:
        """Take `count` of the group's strands out of every layer that gives or takes them."""
        for holders, widths in ((group.taken_by, self._inputs), (group.given_by, self._outputs)):
            for name in holders.keys() & widths.keys():
                widths[name] -= count * len(holders[name][0])

    def saving(self, group: ChannelGroup, count: int) -> float:
        """What removing `count` of the group's strands would save now."""
        touched = dict.fromkeys((*group.taken_by, *group.given_by))
        before = self.cost(touched)
        self.remove(group, count)
        after = self.cost(touched)
        self.remove(group, -count)
        return before - after
