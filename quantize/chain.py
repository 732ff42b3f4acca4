"""Which nodes of a graph run in INT8: the convolutions and the glue between them.

Convolutions hold nearly all of the arithmetic. What lies *between* two of them (concatenations,
upsampling, residual sums, ReLU) is quantised as well, since otherwise every such place costs a
dequantise and a quantise. Everything else stays in float: coordinate arithmetic, Softmax, norms
written out and the warp are cheap, and eight bits ruin them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.parsing import nearest
from edgeanim.graph.edit import clip_limits
from edgeanim.graph.known_values import KnownValues
from edgeanim.graph.queries import value_shapes
from edgeanim.graph.read import load_onnx
from edgeanim.graph.rewrites import constants
from edgeanim.graph.shapes import with_shapes

# A convolution below this share of the arithmetic (the affine of a norm, say, computed from a style
# vector) costs more to quantise than it gains.
MIN_SHARE = 1e-3
# Float is kept for heads only as far as they cost next to nothing.
HEAD_SHARE = 0.05
# A convolution that gives so many times fewer numbers than it reads makes a flow, an offset, a mask
# or a colour out of features, however its channels are packed.
_NARROWING = 8
ONNX_GLUE = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "LeakyRelu",
    "MaxPool",
    "Pad",
    "Relu",
    "Resize",
)
_FUSED = ("Clip", "Relu")


@dataclass(frozen=True)
class Node:
    """An op of any graph format. `macs` are a convolution's multiply-accumulates, else 0; `fuses`
    says that runtimes compute it with the convolution that it reads, as they do a ReLU; `narrow`
    that it is a convolution that makes few numbers of many (see `narrows`)."""

    name: str
    kind: Literal["convolution", "glue", "float"]
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
    def with_float_heads(self) -> tuple[str, ...]:
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
    total = sum(node.macs for node in nodes if node.kind == "convolution")
    convolutions = {
        node.name for node in nodes if node.kind == "convolution" and node.macs >= MIN_SHARE * total
    }
    if not convolutions:
        raise BadInput(
            "The graph has no convolution with constant weights to quantise.",
            where=where,
            hint="Ship it in float32.",
        )
    glue = {node.name for node in nodes if node.kind == "glue"}
    above, below = _neighbours(nodes)
    between = _reach(convolutions, below, glue) & _reach(convolutions, above, glue) & glue
    spared = _cheap_heads(nodes, convolutions, below, HEAD_SHARE * total)
    between |= _fused_behind(nodes, convolutions - spared, below)
    read = convolutions | between
    flows = [n for n in nodes if n.narrow and n.name in convolutions - spared]
    spared |= _cheapest(
        [node for node in flows if not below[node.name] & read],
        HEAD_SHARE * total - _macs_of(nodes, spared),
    )
    return Chain(
        convolutions=tuple(node.name for node in nodes if node.name in convolutions),
        glue=tuple(node.name for node in nodes if node.name in between),
        spared=tuple(node.name for node in nodes if node.name in spared),
    )


def _cheap_heads(
    nodes: Sequence[Node], convolutions: set[str], below: Mapping[str, set[str]], macs: float
) -> set[str]:
    """Those of `convolutions` whose result reaches no other one, if they take at most `macs`
    together; else none."""
    everything = {node.name for node in nodes}
    heads = {name for name in convolutions if not _reach({name}, below, everything) & convolutions}
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


def onnx_chain(
    model: Any,
    keep_float: Collection[str] = (),
    *,
    more_glue: Collection[str] = (),
    where: object = None,
) -> Chain:
    """`find_chain` of an ONNX `model` that is `shaped`.

    `keep_float` are names of nodes that count as float, `more_glue` of those that a runtime can
    compute in 8 bits beside `ONNX_GLUE`; `BadInput` names the nearest node if there is none of the
    former's.
    """
    check_names(keep_float, [node.name for node in model.graph.node], where=where)
    return find_chain(onnx_nodes(model, set(keep_float), more_glue), where=where)


def has_convolutions(
    path: Path, keep_float: Collection[str] = (), *, kernel_axes: Container[int] | None = None
) -> bool:
    """Whether anything of the float32 ONNX graph at `path` can run in INT8, `keep_float` aside; of
    convolutions whose kernels have other numbers of axes than `kernel_axes` none can."""
    model = load_shaped(path)
    check_names(keep_float, [node.name for node in model.graph.node], where=path.stem)
    kept = set(keep_float)
    if kernel_axes is not None:
        axes = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
        convolutions = (node for node in model.graph.node if node.op_type == "Conv")
        kept |= {n.name for n in convolutions if axes.get(n.input[1]) not in kernel_axes}
    return any(node.kind == "convolution" for node in onnx_nodes(model, kept))


def load_shaped(path: Path) -> Any:
    """The ONNX graph at `path`, `shaped`; `BadInput` if the file does not parse."""
    return shaped(load_onnx(path))


def shaped(model: Any) -> Any:
    """A copy of an ONNX `model` with the shapes that can be told and a name for every node. Where a
    graph computes shapes of others, they are read from one in which that is folded."""
    made = with_shapes(model)
    name_nodes(made)
    known = value_shapes(made)
    if any(name not in known for node in made.graph.node for name in node.output if name):
        folded = deepcopy(made)
        constants.rewrite(folded)
        for output, told in zip(made.graph.output, folded.graph.output, strict=True):
            output.type.CopyFrom(told.type)
        infos = {info.name: info for info in made.graph.value_info}
        infos |= {info.name: info for info in folded.graph.value_info if info.name not in known}
        del made.graph.value_info[:]
        made.graph.value_info.extend(infos.values())
    return made


def onnx_nodes(model: Any, keep_float: set[str], more_glue: Collection[str] = ()) -> list[Node]:
    """The nodes of an ONNX `model` by kind; `BadInput` for a convolution of unknown cost."""
    values = KnownValues(model)
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = value_shapes(model)
    nodes = []
    for node in model.graph.node:
        kind: Literal["convolution", "glue", "float"] = "float"
        macs = 0
        if node.name in keep_float:
            pass
        elif node.op_type == "Conv" and node.input[1] in weights:
            kind = "convolution"
            if node.output[0] not in shapes:
                raise BadInput(
                    f"ONNX cannot tell the shape of what the convolution {node.name!r} gives, and "
                    "so not what it costs.",
                    hint=f"Keep it in float with --keep-float {node.name}, or ship all in float32.",
                )
            macs = prod(shapes[node.output[0]]) * prod(weights[node.input[1]][1:])
        elif node.name in more_glue or (node.op_type in ONNX_GLUE and _keeps_zero(node, values)):
            kind = "glue"
        fuses = node.op_type in _FUSED
        narrow = kind == "convolution" and narrows(
            shapes.get(node.input[0], ()), shapes[node.output[0]]
        )
        ends = tuple(node.input), tuple(node.output)
        nodes.append(Node(node.name, kind, *ends, macs, fuses, narrow))
    return nodes


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


def _keeps_zero(node: Any, values: KnownValues) -> bool:
    """Whether a glue node is no Clip, or one that `holds_zero`; not if an input decides on its
    limits."""
    if node.op_type != "Clip":
        return True
    limits = clip_limits(node, values.number)
    return limits is not None and holds_zero(*limits)


def name_nodes(model: Any) -> None:
    """Give a name to every node of an ONNX `model` that has none, after its first output."""
    taken = {node.name for node in model.graph.node}
    for node in model.graph.node:
        if not node.name:
            name = node.output[0]
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name


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
