"""Which channels of a traced module can only go together: strands.

Pruning elsewhere speaks of coupled channels, found as a graph of dependencies between layers (Fang
et al. 2023, "DepGraph: Towards Any Structural Pruning"); here single channels are followed.

Each output of a convolution or a linear layer begins a strand of its own. Ops that treat every
channel alike and by itself pass strands on, and so does a warp, which looks up the same pixels in
each. A sum ties strands one by one, a grouped convolution those of a group, a pixel shuffle those
that become one. A norm over groups of channels ties those at one place of every group, so that the
groups stay equally large; its statistics, like any mean over channels, are then taken over the
channels that are left. The graph's inputs, its outputs, and all that other ops read or make keep
their channels: these strands are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.quantize.disjoint import DisjointSets, Ids
from edgeanim.quantize.pruning.channels import (
    averages_channels,
    channel_counts,
    channel_parameters,
    gathers_rows,
    joins_channels,
    keeps_channels,
    kind_of,
    mixes_channels,
    pools_pictures,
    ties_channels,
    works_on_each,
)
from edgeanim.quantize.pruning.moves import Along, compact, is_move, moved, varies

FIXED = 0
"""The strand of all channels that stay."""


@dataclass(frozen=True)
class Strands:
    """The strand of every channel that each layer reads and makes (`read`, `made`), by its name, of
    each parameter with a number per channel (`parameters`), and of what moves read and make
    (`along`)."""

    read: Mapping[str, Ids]
    made: Mapping[str, Ids]
    parameters: Mapping[str, Ids]
    along: Mapping[fx.Node, Along]
    moves: Sequence[fx.Node]

    def without(self, gone: Ids) -> Strands:
        """What is left of them once these are gone."""
        read, made, parameters = (
            {name: ids[~np.isin(ids, gone)] for name, ids in held.items()}
            for held in (self.read, self.made, self.parameters)
        )
        along = {node: each.without(gone) for node, each in self.along.items()}
        return Strands(read, made, parameters, along, self.moves)


def find_strands(module: fx.GraphModule, example: Sequence[torch.Tensor]) -> Strands:
    """Follow the channels of `module`, of whose inputs `example` has the shapes."""
    follower = Follower(module, example, DisjointSets())
    for node in module.graph.nodes:
        follower.follow(node)
    return follower.strands()


class Follower:
    """Follows the channels of a module node by node, and ties their strands in `classes`.

    `_labels` are the strands of each value's numbers, with length 1 along axes on which they do
    not depend; two that are tied may still have different numbers. `made` are those that each
    layer makes.
    """

    def __init__(
        self, module: fx.GraphModule, example: Sequence[torch.Tensor], classes: DisjointSets
    ) -> None:
        known = traced_shapes(module, example)
        shapes = {node: known.get(node.name) for node in module.graph.nodes}
        self._shapes: Mapping[fx.Node, Any] = shapes
        self._counts = channel_counts(shapes)
        self._layers = dict(module.named_modules())
        self._parameters = channel_parameters(module, self._counts)
        self._classes = classes
        self._classes.new(1)
        self._labels: dict[fx.Node, Any] = {}
        self._read: dict[str, Ids] = {}
        self.made: dict[str, Ids] = {}
        self._per_channel: dict[str, Ids] = {}
        self._moves: list[fx.Node] = []

    def follow(self, node: fx.Node) -> None:
        """Follow the channels through one more node."""
        if node.op == "call_module" and self._follow_layer(node):
            return
        sources = node.all_input_nodes
        if works_on_each(node):
            self._labels[node] = self._labels[sources[0]]
        elif keeps_channels(node, None) and len(sources) == 1:
            self._make(node, self._channels(sources[0]))
        elif node in self._parameters:
            numbers = self._parameters[node]
            self._per_channel[numbers.parameter] = self._channels(numbers.value)
            self._make(node, self._per_channel[numbers.parameter])
        elif pools_pictures(node) and len(self._shapes[sources[0]]) == 4:
            self._labels[node] = torch.from_numpy(self._channels(sources[0])).reshape(1, -1)
        elif averages_channels(node) and len(self._shapes[sources[0]]) == 4:
            self._keep(node)
        elif ties_channels(node) and len(self._shapes[node] or ()) == 4:
            self._make(node, self._tied(node))
        elif ties_channels(node) and all(self._shapes[n] is not None for n in (node, *sources)):
            self._combine(node)
        elif gathers_rows(node):
            self._gather(node)
        elif joins_channels(node) and len(self._shapes[node] or ()) == 4:
            self._make(node, np.concatenate([self._channels(n) for n in node.args[0]]))
        elif sources and is_move(node, self._labels[sources[0]]):
            self._move(node, sources[0])
        else:
            for source in sources:
                self._fix(source)
            self._keep(node)

    def ids(self, value: fx.Node) -> Ids:
        """The strands of a value's numbers, each once, as they were before others were tied to
        them."""
        found: Ids = self._labels[value].unique().numpy()
        return found

    def strands(self) -> Strands:
        """All of them. A move of which the strands lie across several axes, or along none, fixes
        them: if some of them went, what is left would fill no box."""
        seen = {n: self._labels[n] for m in self._moves for n in (m, *m.all_input_nodes)}
        values = {n: labels for n, labels in seen.items() if isinstance(labels, torch.Tensor)}
        for labels in values.values():
            if labels.ndim == 0 or len(_axes(self._rooted(labels))) > 1:
                self._classes.union(labels.numpy(), np.array(FIXED))
        along = {node: self._along(node, labels) for node, labels in values.items()}
        root = self._classes.root
        read, made, parameters = (
            {name: root(ids) for name, ids in found.items()}
            for found in (self._read, self.made, self._per_channel)
        )
        return Strands(read, made, parameters, along, self._moves)

    def _follow_layer(self, node: fx.Node) -> bool:
        """Follow channels through a layer that reads a picture, if it is known how."""
        name, source = str(node.target), node.args[0]
        layer = self._layers[name]
        if isinstance(layer, torch.nn.Linear):
            self._follow_linear(node, layer)
            return True
        if isinstance(layer, torch.nn.InstanceNorm1d):
            return self._follow_rows(node, source)
        if isinstance(layer, torch.nn.LayerNorm):
            return self._follow_layer_norm(node, source)
        if not (mixes_channels(layer) or keeps_channels(node, layer)):
            return False
        read = self._channels(source)
        if mixes_channels(layer):
            made = self._classes.new(self._counts[node])
        elif kind_of(layer) == "grouped":
            groups = read.reshape(layer.groups, -1)
            self._classes.union(groups, groups[:, :1])
            made = np.repeat(groups[:, 0], layer.out_channels // layer.groups)
        elif isinstance(layer, torch.nn.GroupNorm):
            groups = read.reshape(layer.num_groups, -1)
            self._classes.union(groups, groups[:1])
            made = read
        else:
            made = read
        self._note(name, read, made)
        self._make(node, made)
        return True

    def _follow_linear(self, node: fx.Node, layer: torch.nn.Linear) -> None:
        """A linear layer reads and makes numbers along the last axis. They may come of the channels
        of a picture, as in a squeeze and excitation, and become such, as a style's scales."""
        source = self._labels[node.all_input_nodes[0]]
        if source.shape[-1] == 1 or source.numel() > source.shape[-1]:
            self._fix(node.all_input_nodes[0])
            read = np.full(layer.in_features, FIXED)
        else:
            read = source.flatten().numpy().copy()
        made = self._classes.new(layer.out_features)
        self._note(str(node.target), read, made)
        axes = len(self._shapes[node] or ())
        self._labels[node] = torch.from_numpy(made).reshape((1,) * (axes - 1) + (-1,))

    def _follow_rows(self, node: fx.Node, source: fx.Node) -> bool:
        """Follow channels through a norm of the rows of [N, G, L]: a norm over groups, as it is
        exported. Where each row is a channel, its weights would have to go as well."""
        labels = self._labels[source]
        if labels.ndim != 3 or labels.shape[0] > 1 or labels.shape[2] == 1:
            return False
        # Pairs as one number each, since all pixels of a channel say the same in a row.
        count = self._classes.count
        pairs = (labels[0] * count + labels[0, :1]).flatten().unique_consecutive()
        self._classes.union(*divmod(pairs.numpy(), count))
        self._labels[node] = labels
        return True

    def _follow_layer_norm(self, node: fx.Node, source: fx.Node) -> bool:
        """Follow channels through a norm over the last axis, if they lie along that alone."""
        labels = self._labels[source]
        if labels.shape[-1] == 1 or labels.numel() > labels.shape[-1]:
            return False
        channels = labels.flatten().numpy()
        self._note(str(node.target), channels, channels)
        self._labels[node] = labels
        return True

    def _note(self, name: str, read: Ids, made: Ids) -> None:
        """Remember what a layer reads and makes; one that stands at two places of the graph at once
        keeps it."""
        if name in self._read:
            for ids in (self._read[name], self.made[name], read, made):
                self._classes.union(ids, np.array(FIXED))
        self._read[name], self.made[name] = read, made

    def _tied(self, node: fx.Node) -> Ids:
        """The strands of what a node combines one by one. A single channel that is repeated over
        others ties nothing."""
        found = []
        for source in node.all_input_nodes:
            ids = self._channels(source)
            if self._counts[source] == self._counts[node]:
                found.append(ids)
        for ids in found[1:]:
            self._classes.union(found[0], ids)
        return found[0]

    def _combine(self, node: fx.Node) -> None:
        """Tie the strands of what is combined number by number, in whatever axes they lie. What is
        repeated along such an axis ties nothing, and stays."""
        shape, sources = self._shapes[node], node.all_input_nodes
        lead = {n: (1,) * (len(shape) - len(self._shapes[n])) for n in sources}
        labels = {n: self._labels[n].reshape(*lead[n], *self._labels[n].shape) for n in sources}
        varying = {axis for each in labels.values() for axis in _axes(self._rooted(each))}
        whole = []
        for source in sources:
            size = (*lead[source], *self._shapes[source])
            if all(size[axis] == shape[axis] for axis in varying):
                whole.append(labels[source])
            else:
                self._fix(source)
        if not whole:
            self._keep(node)
            return
        first, *others = torch.broadcast_tensors(*whole)
        for other in others:
            self._classes.union(first.flatten().numpy(), other.flatten().numpy())
        self._labels[node] = compact(first)

    def _gather(self, node: fx.Node) -> None:
        """Rows of a matrix by their numbers, as a warp looks its pixels up: its columns stay."""
        at, rows = node.all_input_nodes
        self._fix(at)
        if varies(self._labels[rows].expand(self._shapes[rows]), 0):
            self._fix(rows)
        axes = len(self._shapes[at])
        columns = self._labels[rows][:1]
        self._labels[node] = columns.reshape((1,) * axes + (columns.shape[1],))

    def _move(self, node: fx.Node, source: fx.Node) -> None:
        labels = self._labels[source]
        if isinstance(labels, torch.Tensor):
            labels = labels.expand(self._shapes[source])
        made = moved(node, labels)
        self._labels[node] = compact(made) if isinstance(made, torch.Tensor) else made
        self._moves.append(node)

    def _channels(self, node: fx.Node) -> Ids:
        """The strand of each channel of a value; of what is no [N, C, H, W] all are fixed."""
        if len(self._shapes[node] or ()) != 4:
            self._fix(node)
            return np.full(self._counts[node], FIXED)
        rows = self._labels[node].movedim(1, 0).flatten(1)
        if rows.shape[1] > 1:
            for row in rows:
                ids = row.unique().numpy()
                self._classes.union(ids, ids[:1])
            self._labels[node] = rows[:, 0].reshape(1, -1, 1, 1).clone()
        channels: Ids = rows[:, 0].expand(self._counts[node]).numpy().copy()
        return channels

    def _make(self, node: fx.Node, channels: Ids) -> None:
        if len(self._shapes[node] or ()) == 4:
            self._labels[node] = torch.from_numpy(channels).reshape(1, -1, 1, 1)
        else:
            self._keep(node)

    def _keep(self, node: fx.Node) -> None:
        self._labels[node] = torch.full((1,) * len(self._shapes[node] or ()), FIXED)

    def _fix(self, node: fx.Node) -> None:
        labels = self._labels[node]
        for each in (labels,) if isinstance(labels, torch.Tensor) else labels:
            self._classes.union(compact(each).numpy(), np.array(FIXED))

    def _rooted(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._classes.root(labels.numpy()))

    def _along(self, node: fx.Node, labels: torch.Tensor) -> Along:
        rooted = self._rooted(labels)
        shape = self._shapes[node]
        if not shape:
            return Along(shape, 0, rooted.reshape(1).numpy())
        (axis,) = _axes(rooted) or (0,)
        strands = rooted.movedim(axis, 0).reshape(rooted.shape[axis], -1)[:, 0].expand(shape[axis])
        return Along(shape, axis, strands.numpy().copy())


def _axes(labels: torch.Tensor) -> list[int]:
    """The axes along which labels vary."""
    return [axis for axis in range(labels.ndim) if varies(labels, axis)]
