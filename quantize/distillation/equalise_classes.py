"""Which channels of an imported graph must be scaled together, and where a scale can be absorbed.

Every channel of every [N, C, H, W] value is a variable. An op that commutes with a positive factor
per channel (ReLU, padding, resizing, a sum) ties its input's variables to its output's; a
convolution or the affine of a norm absorbs any factor and ties nothing; an instance norm takes out
what comes in; all else fixes the variables that it touches at 1. What is left are *classes*: sets
of channels with one free factor.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeanim.graph.pytorch.converters.shape import PicturePad
from edgeanim.quantize.disjoint import DisjointSets, Ids

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# f(c x) = c f(x) for c > 0, channel by channel.
_HOMOGENEOUS = {
    F.avg_pool2d,
    F.dropout,
    F.interpolate,
    F.leaky_relu,
    F.max_pool2d,
    F.relu,
    torch.relu,
    operator.neg,
    torch.neg,
}
_SUMS = {operator.add, torch.add, operator.sub, torch.sub}
_PRODUCTS = {operator.mul, torch.mul}
_HOMOGENEOUS_MODULES = (PicturePad, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.MaxPool2d, nn.AvgPool2d)


@dataclass
class Channels:
    """The variables of a traced module: `of` maps a node to one number per channel.

    `root(ids)` gives the class of each; `fixed` holds the classes whose factor is 1. `normalized`
    are the nodes that instance norms read: a factor vanishes there but for the norm's epsilon, the
    largest if there are several.
    """

    of: dict[fx.Node, Ids] = field(default_factory=dict)
    normalized: dict[fx.Node, float] = field(default_factory=dict)
    _classes: DisjointSets = field(default_factory=DisjointSets)
    _frozen: set[int] = field(default_factory=set)

    def new(self, node: fx.Node, count: int) -> None:
        """Variables of their own for the channels of `node`."""
        self.of[node] = self._classes.new(count)

    def tie(self, one: Ids, other: Ids) -> None:
        """Each channel of `one` shares its factor with that of `other`."""
        self._classes.union(one, other)

    def freeze(self, node: Any) -> None:
        """The factor of every channel of `node` is 1 (no effect on what is not tracked)."""
        if isinstance(node, fx.Node) and node in self.of:
            self._frozen.update(self.of[node].tolist())

    def is_frozen(self, node: Any) -> bool:
        """Whether a channel of `node` has been fixed so far."""
        return not self.fixed.isdisjoint(self.root(self.of[node]).tolist())

    def root(self, ids: Ids) -> Ids:
        """The class of each variable."""
        return self._classes.root(ids)

    @property
    def fixed(self) -> set[int]:
        """The classes that hold a frozen variable."""
        return {self._classes.find(i) for i in self._frozen}

    @property
    def count(self) -> int:
        """How many variables there are; classes are numbers below it."""
        return self._classes.count


def find_channels(module: fx.GraphModule, shapes: Mapping[str, Sequence[int]]) -> Channels:
    """The channels of `module`; `shapes` has the shape of every node's value by the node's name.

    Per-channel parameters of shape [C, 1, 1] or [1, C, 1, 1] count as values. A submodule that is
    called twice has its ends fixed.
    """
    channels = Channels()
    calls = Counter(n.target for n in module.graph.nodes if n.op in ("call_module", "get_attr"))
    for node in module.graph.nodes:
        size = _channel_count(node, shapes.get(node.name, ()))
        if size is not None:
            channels.new(node, size)
        rule = _rule(module, node) if calls[node.target] < 2 else None
        if rule is None or not rule(channels, node):
            channels.freeze(node)
            for source in node.all_input_nodes:
                channels.freeze(source)
    return channels


_Rule = Callable[[Channels, fx.Node], bool]


def _channel_count(node: fx.Node, shape: Sequence[int]) -> int | None:
    if node.op == "get_attr" and len(shape) == 3 and shape[1:] == (1, 1):
        return int(shape[0])
    return int(shape[1]) if len(shape) == 4 and shape[0] == 1 else None


def _rule(module: fx.GraphModule, node: fx.Node) -> _Rule | None:
    """How `node` ties its channels; `None` if it fixes them."""
    if node.op == "get_attr":
        parameter = isinstance(getattr(module, str(node.target), None), nn.Parameter)
        return _absorbs if parameter else None
    if node.op == "call_module":
        return _module_rule(module.get_submodule(str(node.target)))
    if node.op != "call_function":
        return None
    if node.target in _HOMOGENEOUS or _is_scalable_pad(node):
        return _passes
    if node.target in _SUMS:
        return _adds
    if node.target in _PRODUCTS:
        return _multiplies
    if node.target is torch.cat:
        return _concatenates
    return _shuffles if node.target is F.pixel_shuffle else None


def _module_rule(layer: nn.Module) -> _Rule | None:
    if isinstance(layer, CONVOLUTIONS) or (isinstance(layer, nn.BatchNorm2d) and layer.affine):
        return _absorbs
    if isinstance(layer, nn.InstanceNorm2d) and not layer.track_running_stats:
        return partial(_normalizes, layer)
    return _passes if isinstance(layer, _HOMOGENEOUS_MODULES) else None


def _is_scalable_pad(node: fx.Node) -> bool:
    if node.target is not F.pad or len(node.args[1]) > 4:
        return False
    settings = dict(zip(("mode", "value"), node.args[2:], strict=False)) | dict(node.kwargs)
    return settings.get("mode", "constant") != "constant" or not settings.get("value")


def _absorbs(channels: Channels, node: fx.Node) -> bool:
    return node in channels.of and all(n in channels.of for n in node.all_input_nodes)


def _normalizes(layer: nn.InstanceNorm2d, channels: Channels, node: fx.Node) -> bool:
    """The input's factor vanishes; the affine, if there is one, absorbs one on the output."""
    source = node.args[0]
    if not _alike(channels, source, node):
        return False
    channels.normalized[source] = max(float(layer.eps), channels.normalized.get(source, 0.0))
    if not layer.affine:
        channels.freeze(node)
    return True


def _passes(channels: Channels, node: fx.Node) -> bool:
    source = node.args[0]
    if len(node.all_input_nodes) != 1 or not _alike(channels, source, node):
        return False
    channels.tie(channels.of[source], channels.of[node])
    return True


def _adds(channels: Channels, node: fx.Node) -> bool:
    left, right = node.args[:2]
    if node.kwargs or not (_alike(channels, left, node) and _alike(channels, right, node)):
        return False
    channels.tie(channels.of[left], channels.of[node])
    channels.tie(channels.of[right], channels.of[node])
    return True


def _multiplies(channels: Channels, node: fx.Node) -> bool:
    """One operand carries the factor and the other is fixed: a norm's result, a gate, a number."""
    left, right = node.args[:2]
    if isinstance(right, (int, float)):
        carrier = left if right > 0 else None
    elif not _alike(channels, left, node) or channels.is_frozen(left):
        carrier = right
    else:
        carrier = left
    if not _alike(channels, carrier, node):
        return False
    channels.freeze(right if carrier is left else left)
    channels.tie(channels.of[carrier], channels.of[node])
    return True


def _concatenates(channels: Channels, node: fx.Node) -> bool:
    parts = node.args[0]
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    if axis != 1 or node not in channels.of or any(p not in channels.of for p in parts):
        return False
    joined = np.concatenate([channels.of[part] for part in parts])
    if len(joined) != len(channels.of[node]):
        return False
    channels.tie(joined, channels.of[node])
    return True


def _shuffles(channels: Channels, node: fx.Node) -> bool:
    source = node.args[0]
    if source not in channels.of or node not in channels.of:
        return False
    inner, outer = channels.of[source], channels.of[node]
    channels.tie(inner, np.repeat(outer, len(inner) // len(outer)))
    return True


def _alike(channels: Channels, value: Any, node: fx.Node) -> bool:
    """Whether `value` and `node` have the same number of tracked channels."""
    return (
        isinstance(value, fx.Node)
        and value in channels.of
        and node in channels.of
        and len(channels.of[value]) == len(channels.of[node])
    )
