"""Which convolutions to keep in float: first those that cost least time for the error they avoid.

A graph's time is that of its INT8 nodes in INT8, of its float nodes in float, and of converting
every tensor that crosses the border between them. Keeping a convolution in float moves that border:
an island in the middle of a chain adds two crossings, one beside another island or a float norm
adds none, and may even save time. The resulting path is measured; see `edgeanim.pipeline.mixed`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.graph.queries import readers_of
from edgeanim.graph.reading.read import load_onnx
from edgeanim.quantize.chain import Node, find_chain
from edgeanim.quantize.onnx_nodes import name_nodes, onnx_nodes, shaped
from edgeanim.targets.backends import NodeTime

# What follows a convolution and is fused into it.
_EPILOGUES = ("BatchNormalization", "Clip", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
# Times of nodes are not known better than this.
_NOISE_US = 1.0
# Where no time can be measured, converting an element counts as so many multiply-accumulates.
_MACS_PER_CROSSING = 8.0


@dataclass(frozen=True)
class FloatGraph:
    """A float graph as the search sees it: `nodes` in order, the number of elements of each
    activation (`sizes`), the graph's `outputs`, and into which convolution a node is fused."""

    nodes: tuple[Node, ...]
    sizes: Mapping[str, int]
    outputs: frozenset[str]
    fused: Mapping[str, str]

    def keeping(self, floats: Iterable[str]) -> FloatGraph:
        """The same graph with these nodes in float for good."""
        kept = set(floats)
        nodes = (replace(n, kind="float") if n.name in kept else n for n in self.nodes)
        return replace(self, nodes=tuple(nodes))

    def int8(self, floats: frozenset[str]) -> frozenset[str]:
        """The nodes that run in INT8 if the convolutions `floats` do not."""
        try:
            return frozenset(find_chain(self.keeping(floats).nodes).without_spared)
        except BadInput:
            return frozenset()

    def candidates(self) -> tuple[str, ...]:
        """The convolutions that run in INT8 if nothing is kept in float, in the graph's order."""
        chain = self.int8(frozenset())
        return tuple(n.name for n in self.nodes if n.kind == "convolution" and n.name in chain)

    def crossings(self, int8: frozenset[str]) -> int:
        """How many elements are quantised and dequantised at the border of the nodes `int8`."""
        made = {name for n in self.nodes if n.name in int8 for name in n.outputs}
        taken: dict[bool, set[str]] = {True: set(), False: set(self.outputs)}
        for node in self.nodes:
            taken[node.name in int8].update(node.inputs)
        crossing = [*(taken[True] - made), *(taken[False] & made)]
        return sum(self.sizes.get(name, 0) for name in crossing)


@dataclass(frozen=True)
class Times:
    """Microseconds of each node (with what is fused into it) in float and in INT8, and of a
    thousand elements converted at the border (`crossing`). `weight` is how often the graph runs per
    frame, `basis` whether nodes were timed (`time`) or their times estimated (`macs`)."""

    float_: Mapping[str, float]
    int8: Mapping[str, float]
    crossing: float
    weight: float = 1.0
    basis: str = "time"


@dataclass
class Search:
    """The graphs of a model by name with their times, and each convolution's error in INT8."""

    graphs: Mapping[str, FloatGraph]
    times: Mapping[str, Times]
    errors: Mapping[tuple[str, str], float]
    _known: dict[tuple[str, frozenset[str]], float] = field(default_factory=dict)

    def time(self, floats: Iterable[tuple[str, str]]) -> float:
        """Predicted microseconds a frame if these convolutions, (graph, node), are in float."""
        by_graph: dict[str, set[str]] = defaultdict(set)
        for graph, node in floats:
            by_graph[graph].add(node)
        return sum(self._graph_time(name, frozenset(by_graph[name])) for name in self.graphs)

    def path(self) -> list[tuple[str, str]]:
        """The convolutions in the order in which to put them into float.

        At every step the one that saves time, if there is one; else the one that avoids the most
        error for the time it adds. The last of each graph stays in INT8: without any, a graph would
        not be quantised.
        """
        taken: list[tuple[str, str]] = []
        left = {name: set(graph.candidates()) for name, graph in self.graphs.items()}
        while any(len(nodes) > 1 for nodes in left.values()):
            now = self.time(taken)
            ranked = []
            for graph, nodes in left.items():
                for node in sorted(nodes) if len(nodes) > 1 else ():
                    added = self.time([*taken, (graph, node)]) - now
                    ranked.append((self._merit(graph, node, added), graph, node))
            _, graph, node = max(ranked)
            left[graph].discard(node)
            taken.append((graph, node))
        return taken

    def safest(self) -> list[tuple[str, str]]:
        """The same by falling error, whatever the time."""
        taken: list[tuple[str, str]] = []
        for name, graph in self.graphs.items():
            layers = [(name, node) for node in graph.candidates()]
            taken += sorted(layers, key=lambda layer: -self.errors[layer])[:-1]
        return sorted(taken, key=lambda layer: -self.errors[layer])

    def _merit(self, graph: str, node: str, added: float) -> tuple[float, float]:
        if added < -_NOISE_US:
            return (1.0, -added)
        return (0.0, self.errors[graph, node] / max(added, _NOISE_US))

    def _graph_time(self, name: str, floats: frozenset[str]) -> float:
        if (name, floats) not in self._known:
            graph, times = self.graphs[name], self.times[name]
            int8 = graph.int8(floats)
            nodes = [graph.fused.get(n.name, n.name) for n in graph.nodes]
            own = sum(
                times.int8.get(n, 0.0) if n in int8 else times.float_.get(n, 0.0)
                for n in dict.fromkeys(nodes)
            )
            converted = graph.crossings(int8) / 1000 * times.crossing
            self._known[name, floats] = times.weight * (own + converted)
        return self._known[name, floats]


def read_graph(source: Path, named: Path) -> FloatGraph:
    """Read the ONNX graph `source`, and write it to `named` with a name for every node."""
    import onnx

    model = load_onnx(source)
    name_nodes(model)
    onnx.save(model, str(named))
    model = shaped(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    infos = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    sizes = {
        info.name: prod(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in infos
        if info.name not in weights
    }
    outputs = frozenset(tensor.name for tensor in model.graph.output)
    return FloatGraph(tuple(onnx_nodes(model, set())), sizes, outputs, _fused(model, outputs))


def node_times(
    graph: FloatGraph,
    in_float: Sequence[NodeTime],
    in_int8: Sequence[NodeTime],
    weight: float,
) -> Times:
    """The times of `graph` from the profiles of its float and its INT8 form."""
    float_, float_moves = _attributed(graph, in_float)
    int8, int8_moves = _attributed(graph, in_int8)
    converted = graph.crossings(graph.int8(frozenset())) / 1000
    crossing = max(0.0, int8_moves - float_moves) / max(converted, 1e-9)
    return Times(float_, int8, crossing, weight)


def estimated_times(graph: FloatGraph, float_us: float, int8_us: float, weight: float) -> Times:
    """The times of `graph` where the runtime times no nodes: by multiply-accumulates, scaled to
    the time of the whole graph in float and in INT8."""
    total = sum(node.macs for node in graph.nodes) or 1
    chain = graph.int8(frozenset())
    unit = float_us / total
    float_ = {node.name: node.macs * unit for node in graph.nodes}
    converted = graph.crossings(chain)
    crossing = _MACS_PER_CROSSING * unit
    outside = sum(time for name, time in float_.items() if name not in chain)
    inside = sum(time for name, time in float_.items() if name in chain) or 1.0
    gain = max(0.05, int8_us - outside - converted * crossing) / inside
    int8 = {name: time * gain for name, time in float_.items()}
    return Times(float_, int8, crossing * 1000, weight, basis="macs")


def _attributed(graph: FloatGraph, times: Sequence[NodeTime]) -> tuple[dict[str, float], float]:
    """Time by the graph's own node, and that of all which only converts or moves.

    Runtimes call a fused node after one of its parts, or after what it gives.
    """
    known = {output: node.name for node in graph.nodes for output in node.outputs}
    known |= {node.name: node.name for node in graph.nodes}
    found: dict[str, float] = defaultdict(float)
    moves = 0.0
    for row in times:
        names = [name.removesuffix("/WithoutBiases") for name in row.names]
        own = next((known[name] for name in names if name in known), None)
        if row.kind != "compute":
            moves += row.microseconds
        elif own is not None:
            found[graph.fused.get(own, own)] += row.microseconds
    return dict(found), moves


def _fused(model: Any, outputs: frozenset[str]) -> dict[str, str]:
    """Into which convolution each activation function is fused: the one whose only reader it is."""
    readers = readers_of(model)
    owner: dict[str, str] = {}
    ends: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            ends[node.output[0]] = node.name
        elif node.op_type in _EPILOGUES and node.input[0] in ends:
            source = node.input[0]
            if len(readers[source]) == 1 and source not in outputs:
                owner[node.name] = ends[node.output[0]] = ends[source]
    return owner
