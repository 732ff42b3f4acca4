"""Which nodes of a graph run in INT8: the convolutions and the glue between them.

Convolutions hold nearly all of the arithmetic. What lies *between* two of them (concatenations,
upsampling, residual sums, ReLU) is quantised as well, since otherwise every such place costs a
dequantise and a quantise. Everything else stays in float: coordinate arithmetic, Softmax, norms
written out and the warp are cheap, and eight bits ruin them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.parsing import nearest

# A convolution below this share of the arithmetic (the affine of a norm, say, computed from a style
# vector) costs more to quantise than it gains.
_MIN_SHARE = 1e-3
# Of all multiply-accumulates: float is kept for heads and flows only as far as it costs next to
# nothing.
_SPARED_SHARE = 0.05
# A convolution that gives so many times fewer numbers than it reads makes a flow, an offset, a mask
# or a colour out of features, however its channels are packed.
_NARROWING = 8

Kind = Literal["convolution", "glue", "float"]
"""What quantisers take an op for."""


@dataclass(frozen=True)
class Node:
    """An op of any graph format. `macs` are a convolution's multiply-accumulates, of one that is
    kept in float too, else 0; `fuses` says that runtimes compute it with the convolution that it
    reads, as they do a ReLU; `narrow` that it is a convolution that makes few numbers of many (see
    `narrows`)."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int = 0
    fuses: bool = False
    narrow: bool = False


@dataclass(frozen=True)
class Chain:
    """`convolutions` and `glue` are the names of the nodes to quantise, in the graph's order.

    `spared` are those convolutions that had better stay in float: the heads, whose result reaches
    no other one, and the narrow ones that float ops alone read, as far as float costs next to
    nothing there.
    """

    convolutions: tuple[str, ...]
    glue: tuple[str, ...]
    spared: tuple[str, ...] = ()

    @property
    def without_spared(self) -> tuple[str, ...]:
        """All nodes to quantise but those `spared`.

        Heads make flows, offsets and colours; eight bits for those are the coarsest step of the
        net in runtimes that quantise the output of every INT8 convolution. So they are for a flow
        in the middle of a net, which the next step warps by and adds to.
        """
        return (*(name for name in self.convolutions if name not in self.spared), *self.glue)


def find_chain(nodes: Sequence[Node], *, where: object = None) -> Chain:
    """The INT8 part of a graph given in topological order.

    A glue node belongs to it if a convolution lies both above and below it with nothing but glue
    on the way; or if it fuses with a convolution whose result nothing else reads, which would else
    be rounded before it, with half of its levels for what a ReLU takes away. `BadInput` if there is
    no convolution at all.
    """
    total, dear = sum(node.macs for node in nodes), _dear(nodes)
    convolutions = quantizable(nodes)
    if not convolutions:
        raise BadInput(
            "The graph has no convolution with constant weights to quantise.",
            where=where,
            hint="Ship it in float32.",
        )
    glue = {node.name for node in nodes if node.kind == "glue"}
    above, below = _neighbours(nodes)
    between = _reach(convolutions, below, glue) & _reach(convolutions, above, glue) & glue
    spared = _cheap_heads(nodes, convolutions, dear, below, _SPARED_SHARE * total)
    between |= _fused_behind(nodes, convolutions - spared, below)
    read = convolutions | between
    flows = [n for n in nodes if n.narrow and n.name in convolutions - spared]
    spared |= _cheapest(
        [node for node in flows if not below[node.name] & read],
        _SPARED_SHARE * total - _macs_of(nodes, spared),
    )
    return Chain(
        convolutions=tuple(node.name for node in nodes if node.name in convolutions),
        glue=tuple(node.name for node in nodes if node.name in between),
        spared=tuple(node.name for node in nodes if node.name in spared),
    )


def quantizable(nodes: Sequence[Node]) -> set[str]:
    """The names of the convolutions that are not kept in float, and worth quantising."""
    return {node.name for node in nodes if node.kind == "convolution"} & _dear(nodes)


def _dear(nodes: Sequence[Node]) -> set[str]:
    """The names of the convolutions, of those kept in float too, that are worth quantising."""
    total = sum(node.macs for node in nodes)
    return {node.name for node in nodes if node.macs and node.macs >= _MIN_SHARE * total}


def _cheap_heads(
    nodes: Sequence[Node],
    convolutions: set[str],
    dear: set[str],
    below: Mapping[str, set[str]],
    macs: float,
) -> set[str]:
    """Those of `convolutions` whose result reaches no `dear` one, if they take at most `macs`
    together; else none. Neither changes where others are kept in float."""
    everything = {node.name for node in nodes}
    heads = {name for name in convolutions if not _reach({name}, below, everything) & dear}
    return heads if _macs_of(nodes, heads) <= macs else set()


def _fused_behind(
    nodes: Sequence[Node], convolutions: set[str], below: Mapping[str, set[str]]
) -> set[str]:
    """The glue that fuses with one of `convolutions` whose result nothing else reads."""
    fusing = {node.name for node in nodes if node.kind == "glue" and node.fuses}
    alone = (below[name] for name in convolutions if len(below[name]) == 1)
    return {name for readers in alone for name in readers & fusing}


def _cheapest(nodes: Iterable[Node], macs: float) -> set[str]:
    """The names of those of `nodes`, the cheapest first, that take at most `macs` together."""
    found = set()
    for node in sorted(nodes, key=lambda node: node.macs):
        macs -= node.macs
        if macs >= 0:
            found.add(node.name)
    return found


def _macs_of(nodes: Iterable[Node], names: set[str]) -> int:
    return sum(node.macs for node in nodes if node.name in names)


def narrows(read: Sequence[int], given: Sequence[int]) -> bool:
    """Whether a convolution that reads a tensor of the first shape and gives one of the second one
    is `narrow`."""
    return _NARROWING * prod(given) <= prod(read)


def holds_zero(low: float | None, high: float | None) -> bool:
    """Whether zero lies within the limits of a clipping; `None` is no limit.

    Quantisers leave a clipping to the range of its result. Ranges hold zero, so one that does not
    would be lost.
    """
    return (low is None or low <= 0) and (high is None or high >= 0)


def check_names(names: Iterable[str], known: Sequence[str], *, where: object) -> None:
    """`UsageError` with the nearest known name if `names`, of `keep_float`, hold an unknown one."""
    for name in names:
        if name not in known:
            raise UsageError(
                f"`keep_float` names {name!r}, but the graph has no such node.",
                where=where,
                hint=nearest(name, known),
            )


def _neighbours(
    nodes: Sequence[Node],
) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """The names of the nodes directly above and directly below each node."""
    maker = {output: node.name for node in nodes for output in node.outputs}
    above: dict[str, set[str]] = defaultdict(set)
    below: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        for source in node.inputs:
            if source in maker:
                above[node.name].add(maker[source])
                below[maker[source]].add(node.name)
    return above, below


def _reach(start: Iterable[str], neighbours: Mapping[str, set[str]], through: set[str]) -> set[str]:
    """All nodes met on the way from `start`, going on only through nodes of `through`."""
    met: set[str] = set()
    frontier = list(start)
    while frontier:
        new = neighbours.get(frontier.pop(), set()) - met
        met |= new
        frontier.extend(new & through)
    return met
