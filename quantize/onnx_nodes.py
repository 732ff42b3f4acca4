"""The nodes of an ONNX graph as `chain` sees them: by kind and cost, each with a name."""

from __future__ import annotations

from collections.abc import Collection, Container
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.graph.edit import clip_limits
from edgeanim.graph.known_values import KnownValues
from edgeanim.graph.queries import value_shapes
from edgeanim.graph.reading.read import load_onnx
from edgeanim.graph.rewrites import constants
from edgeanim.graph.shapes import with_shapes
from edgeanim.quantize.chain import (
    Chain,
    Kind,
    Node,
    check_names,
    find_chain,
    holds_zero,
    narrows,
    quantizable,
)

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
    return bool(quantizable(onnx_nodes(model, kept)))


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
    kernels = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = value_shapes(model)

    def kind_of(node: Any) -> Kind:
        if node.name in keep_float:
            return "float"
        if node.op_type == "Conv" and node.input[1] in kernels:
            return "convolution"
        if node.name in more_glue or (node.op_type in ONNX_GLUE and _keeps_zero(node, values)):
            return "glue"
        return "float"

    nodes = []
    for node in model.graph.node:
        kind, macs, narrow = kind_of(node), 0, False
        if kind == "convolution" and node.output[0] not in shapes:
            raise _unknown_cost(node.name)
        if node.op_type == "Conv" and node.input[1] in kernels:
            made = shapes.get(node.output[0], (0,))
            macs = prod(made) * prod(kernels[node.input[1]][1:])
            narrow = kind == "convolution" and narrows(shapes.get(node.input[0], ()), made)
        ends, fuses = (tuple(node.input), tuple(node.output)), node.op_type in _FUSED
        nodes.append(Node(node.name, kind, *ends, macs, fuses, narrow))
    return nodes


def _unknown_cost(name: str) -> BadInput:
    return BadInput(
        f"ONNX cannot tell the shape of what the convolution {name!r} gives, and so not what it "
        "costs.",
        hint=f"Keep it in float with --keep-float {name}, or ship all in float32.",
    )


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
