"""What holds the channels that pruning cannot take out, layer by layer.

The graph's outputs count on them, or ops that do not treat every channel alike, be it through sums
that tie them to others; and layers of some kinds cannot lose any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import fx

from edgeanim.core.contract import FEATURE, STATE, GraphSpec
from edgeanim.graph.pytorch.to_torch import ImportedGraph
from edgeanim.graph.queries import node_label
from edgeanim.quantize.disjoint import DisjointSets, Ids
from edgeanim.quantize.pruning.channels import ties_channels
from edgeanim.quantize.pruning.macs import NO_LAYER, macs_by_layer
from edgeanim.quantize.pruning.strands import FIXED, Follower


@dataclass(frozen=True)
class HeldLayer:
    """A layer, by the name of its node, that keeps `macs` multiply-accumulates in every run however
    much is pruned, and `why`, as a clause."""

    name: str
    macs: float
    why: str


def held_layers(spec: GraphSpec, imported: ImportedGraph) -> list[HeldLayer]:
    """The layers of a graph with channels on both sides that cannot go, in the order of the graph:
    what they multiply between those alone."""
    found = _Holders(spec, imported).layers()
    return [layer for layer in found if layer.macs]


class _Holders:
    def __init__(self, spec: GraphSpec, imported: ImportedGraph) -> None:
        self._spec, self._imported = spec, imported
        self._layers = dict(imported.module.named_modules())
        self._classes = _RecordedSets()
        self._follower = Follower(imported.module, imported.example(), self._classes)
        nodes = imported.module.graph.nodes
        for node in nodes:
            self._classes.place = node
            self._follower.follow(node)
        (self._ends,) = (node.args[0] for node in nodes if node.op == "output")
        self._classes.place = None
        self._strands = self._follower.strands()
        self._makers = {n.output[0]: n for n in imported.normalized.graph.node}

    def layers(self) -> Iterator[HeldLayer]:
        counted_on = self._outputs()
        for name, macs in macs_by_layer(self._imported.module, self._imported.example()).items():
            if name == NO_LAYER:
                why = "attention's, say, or with a computed kernel, which lose no channels"
                yield HeldLayer("products of two values", macs, why)
                continue
            maker = self._makers.get(self._imported.origins[name])
            label = repr(name) if maker is None else node_label(maker)
            if name in self._strands.made:
                ids = self._classes.loose.root(self._follower.made[name]).tolist()
                told = (counted_on[i] for i in ids if i in counted_on)
                why = next(told, None) or self._place_in_words(self._classes.fixed_at(ids))
                yield HeldLayer(label, macs * self._fixed_share(name), why)
            else:
                kind = type(self._layers[name]).__name__
                yield HeldLayer(label, macs, f"a {kind} loses no channels")

    def _outputs(self) -> dict[int, str]:
        """What outputs count on strands, by what stands for those without what is fixed."""
        found: dict[int, str] = {}
        for value, name in zip(self._ends, self._imported.output_names, strict=True):
            ids = self._classes.loose.root(self._follower.ids(value))
            found |= dict.fromkeys(ids.tolist(), self._output_in_words(name))
        found.pop(FIXED, None)
        return found

    def _output_in_words(self, name: str) -> str:
        (role,) = (tensor.role for tensor in self._spec.outputs if tensor.name == name)
        if role.startswith(STATE):
            return f"the state {name!r} is carried from frame to frame"
        if role.startswith(FEATURE):
            return f"another graph reads {name!r}, which it makes"
        return f"the output {name!r} is made of all its channels"

    def _place_in_words(self, place: fx.Node | None) -> str:
        if place is None:
            return "what reshapes its result mixes them with other axes"
        node = self._maker_at(place)
        if node is None:
            return "something counts on all its channels"
        if ties_channels(place):
            return f"{node.op_type} {node_label(node)} combines its channels with some that stay"
        return f"{node.op_type} {node_label(node)} counts on all its channels"

    def _maker_at(self, place: fx.Node | None) -> Any | None:
        """The ONNX node that a node of the module is of, perhaps as one of several."""
        values = {fx_name: value for value, fx_name in self._imported.fx_names.items()}
        while place is not None:
            if node := self._makers.get(values.get(place.name, "")):
                return node
            place = next(iter(place.users), None)
        return None

    def _fixed_share(self, name: str) -> float:
        """Which share of a layer's products is between channels that stay."""
        read, made = (ids == FIXED for ids in (self._strands.read[name], self._strands.made[name]))
        grouped = getattr(self._layers[name], "groups", 1) > 1
        return float(made.mean() if grouped else read.mean() * made.mean())


class _RecordedSets(DisjointSets):
    """Remembers the `place` in the graph at which numbers were tied to the one that is fixed. In
    `loose` the same numbers are tied without that one."""

    def __init__(self) -> None:
        super().__init__()
        self.place: fx.Node | None = None
        self.loose = DisjointSets()
        self._fixed: dict[int, Any] = {}

    def new(self, count: int) -> Ids:
        """See `DisjointSets`."""
        self.loose.new(count)
        return super().new(count)

    def union(self, one: Ids, other: Ids) -> None:
        """See `DisjointSets`."""
        super().union(one, other)
        for a, b in np.broadcast(one, other):
            if a != FIXED and b != FIXED:
                self.loose.union(np.array(a), np.array(b))
            else:
                self._fixed.setdefault(max(int(a), int(b)), self.place)

    def fixed_at(self, ids: list[int]) -> fx.Node | None:
        """Where the first of these that was tied to the fixed number was."""
        roots = set(ids) - {FIXED}
        for strand, place in self._fixed.items():
            if self.loose.find(strand) in roots:
                return place
        return None
