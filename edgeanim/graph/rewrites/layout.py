"""Channels first inside: transposes move to the graph's ends and cancel where they meet.

A transpose to channels-last sinks below ops that do not care for the layout; one to channels-first
rises above them. What is left stands at the inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeanim.graph.edit import Editor, attributes, editing
from edgeanim.graph.queries import STANDARD

TO_FIRST = (0, 3, 1, 2)
TO_LAST = (0, 2, 3, 1)
"""As a permutation; and where each axis of a channels-last value lies once it is channels-first."""

# fmt: off
UNARY = frozenset((
    "Abs", "Cast", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu",
    "Round", "Selu", "Sigmoid", "Sin", "Softplus", "Sqrt", "Tanh",
))
# fmt: on
BINARY = frozenset(["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu"])
_REDUCE = frozenset(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
_AXIS = frozenset(["Concat", "Softmax"])


def rewrite(model: Any) -> int:
    """Returns the number of moves and cancellations."""
    total = 0
    while True:
        with editing(model) as graph:
            count = 0
            for node in list(graph.nodes):
                if node in graph:
                    count += _merge(graph, node) or _rise(graph, node) or _sink(graph, node)
        total += count
        if count == 0:
            return total


def permutation(node: Any | None) -> tuple[int, ...] | None:
    """The `perm` of a Transpose; `None` for anything else."""
    if node is None or node.op_type != "Transpose":
        return None
    perm = attributes(node).get("perm")
    return None if perm is None else tuple(perm)


def _merge(graph: Editor, node: Any) -> bool:
    """Two transposes in a row are one or none."""
    second = permutation(node)
    inner = graph.maker(node.input[0]) if second else None
    first = permutation(inner)
    if second is None or first is None or inner is None:
        return False
    both = [first[axis] for axis in second]
    x, near = inner.input[0], node.output[0]
    if both == sorted(both):
        if near in graph.outputs and (graph.maker(x) is None or x in graph.outputs):
            return False
        graph.replace(node, x)
    else:
        graph.replace(node, _transpose(graph, x, both, near))
    return True


def _rise(graph: Editor, node: Any) -> bool:
    """`Transpose(op(x))` becomes `op(Transpose(x))` for a transpose to channels-first."""
    if permutation(node) != TO_FIRST:
        return False
    op = graph.maker(node.input[0])
    if op is None or graph.only_user(node.input[0]) is None or not _movable(graph, op):
        return False
    near = node.output[0]
    inputs = []
    for name in _data_inputs(op):
        if name in graph.constants:
            inputs.append(_moved_constant(graph, name))
        else:
            inputs.append(_transpose(graph, name, TO_FIRST, near))
    graph.replace(node, _moved(graph, op, inputs, near))
    return True


def _sink(graph: Editor, node: Any) -> bool:
    """`op(Transpose(x))` becomes `Transpose(op(x))` for a transpose to channels-last."""
    names = _data_inputs(node)
    makers = [graph.maker(name, "Transpose") for name in names]
    turned = [permutation(maker) == TO_LAST for maker in makers]
    if not any(turned) or not all(
        t or name in graph.constants for t, name in zip(turned, names, strict=True)
    ):
        return False
    if not _movable(graph, node):
        return False
    inputs = [
        maker.input[0] if maker is not None else _moved_constant(graph, name)
        for maker, name in zip(makers, names, strict=True)
    ]
    near = node.output[0]
    moved = _moved(graph, node, inputs, near)
    graph.replace(node, _transpose(graph, moved, TO_LAST, near))
    return True


def _data_inputs(node: Any) -> list[str]:
    """The inputs that are feature maps, not settings."""
    if node.op_type in BINARY or node.op_type == "Concat":
        return list(node.input)
    return list(node.input[:1])


def _movable(graph: Editor, node: Any) -> bool:
    """Whether `_moved` can restate this op, which works on channels-last values, channels-first."""
    op: str = node.op_type
    given = attributes(node)
    if (
        node.domain not in STANDARD
        or len(node.output) != 1
        or len(graph.shapes.get(node.output[0], ())) != 4
    ):
        return False
    variable = [n for n in _data_inputs(node) if n not in graph.constants]
    if any(len(graph.shapes.get(name, ())) != 4 for name in variable):
        return False
    if op == "Pad":
        return len(node.input) < 4 and _pads(graph, node) is not None
    if op in _REDUCE:
        return bool(given.get("keepdims", 1)) and _reduced_axes(graph, node) is not None
    if op == "Softmax" and graph.opset < 13:
        return False
    return op in (UNARY | BINARY | _AXIS)


def _moved(graph: Editor, node: Any, inputs: Sequence[str], near: str) -> str:
    """Add the channels-first form of `node` on `inputs`; returns its output."""
    op, given = node.op_type, attributes(node)
    settings = list(node.input[len(inputs) :])
    if op == "Pad":
        pads = _pads(graph, node)
        assert pads is not None
        swapped = [int(side[axis]) for side in (pads[:4], pads[4:]) for axis in TO_FIRST]
        if "pads" in given:
            given["pads"] = swapped
        else:
            settings[0] = graph.constant(np.array(swapped, np.int64), near=near)
    elif op in _REDUCE:
        axes = [TO_LAST[int(axis)] for axis in _reduced_axes(graph, node) or ()]
        if settings:
            settings[0] = graph.constant(np.array(axes, np.int64), near=near)
        else:
            given["axes"] = axes
    elif op in _AXIS:
        given["axis"] = TO_LAST[given.get("axis", -1)]
    return graph.add(op, [*inputs, *settings], near=near, **given)


def _pads(graph: Editor, node: Any) -> Sequence[int] | None:
    pads = graph.setting_of(node, "pads", 1)
    return None if pads is None or len(pads) != 8 else list(pads)


def _reduced_axes(graph: Editor, node: Any) -> Sequence[int] | None:
    axes = graph.setting_of(node, "axes", 1)
    return None if axes is None or not len(axes) else list(axes)


def _moved_constant(graph: Editor, name: str) -> str:
    value = graph.constants[name]
    if value.size == 1:
        return name
    full = value.reshape((1,) * (4 - value.ndim) + value.shape)
    return graph.constant(full.transpose(TO_FIRST), near=name)


def _transpose(graph: Editor, name: str, perm: Sequence[int], near: str) -> str:
    return graph.add("Transpose", [name], near=near, perm=list(perm))
