"""Constant folding: whatever does not depend on an input is computed once, here.

Shape arithmetic (Shape, Gather, Concat, Reshape) disappears with it, since all shapes are fixed,
and so does an If whose condition follows from them: the branch that is taken stands in its place.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from edgeanim.graph.edit import SEPARATE_WEIGHTS, AnyArray, Editor, attributes, rewrite_each
from edgeanim.graph.queries import STANDARD
from edgeanim.graph.reading.checks import RANDOM
from edgeanim.graph.reference import Reference

LARGEST_BYTES = 8 << 20
"""A folded value that would be larger than this, and than what it is made of, stays an op, lest the
file grow by it."""

MOST_VALUES = 16 * LARGEST_BYTES
"""What would be of more is not even computed: a few bytes can ask for more than all memory."""

NOT_FOLDED = (*RANDOM, "QuantizeLinear", "DequantizeLinear")
"""One draw that is stored would be a pattern that stands still: `check_repeatable` is to see it."""

_RUNTIMES_OWN = ("ConvTranspose", "GridSample", "LRN", "MaxPool", "Resize", "Upsample")
"""Ops of which, in some of their modes, ONNX's reference evaluator (1.23) and ONNX Runtime make
different numbers, or shapes."""


def rewrite(model: Any) -> int:
    """Fold until nothing changes; returns the number of nodes that became constants or a
    branch of theirs."""
    total = 0
    while count := rewrite_each(model, _fold):
        total += count
    return total


def _fold(graph: Editor, node: Any) -> bool:
    if node.op_type == "Identity" and node.output[0] in graph.outputs:
        return False  # it is all that a constant output can be
    if node.op_type == "If":
        return _take_branch(graph, node)
    if node.op_type in ("Shape", "Size"):
        values = _shape_value(graph, node)
    elif node.op_type in NOT_FOLDED or node.domain not in STANDARD:
        return False
    elif node.op_type == "Constant" or (
        node.input and all(not name or name in graph.constants for name in node.input)
    ):
        values = _evaluate(graph, node)
    else:
        return False
    if values is None:
        return False
    read = sum(graph.constants[name].nbytes for name in node.input if name in graph.constants)
    largest = max(LARGEST_BYTES, read)
    if node.op_type != "Constant" and any(value.nbytes > largest for value in values):
        return False
    names = [
        graph.constant(value, near=name) if name else ""
        for name, value in zip(node.output, values, strict=True)
    ]
    graph.replace(node, *names)
    return True


def _take_branch(graph: Editor, node: Any) -> bool:
    condition = graph.constant_of(node, 0)
    if condition is None:
        return False
    branch = attributes(node)["then_branch" if condition.all() else "else_branch"]
    graph.replace(node, *graph.inline(branch))
    return True


def _shape_value(graph: Editor, node: Any) -> list[AnyArray] | None:
    shape = graph.shapes.get(node.input[0])
    if shape is None:
        return None
    if node.op_type == "Size":
        return [np.array(prod(shape), np.int64)]
    given = attributes(node)
    return [np.array(shape[given.get("start", 0) : given.get("end", len(shape))], np.int64)]


def _evaluate(graph: Editor, node: Any) -> list[AnyArray] | None:
    """The node's outputs by ONNX's reference evaluator, or by ONNX Runtime where that differs from
    it; `None` where there is no implementation."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    if any(attribute.HasField("g") for attribute in node.attribute):
        return None
    read = {name: graph.constants[name] for name in node.input if name}
    if sum(value.nbytes for value in read.values()) > 16 * LARGEST_BYTES:
        return None
    if any(prod(graph.shapes.get(name) or ()) > MOST_VALUES for name in node.output):
        return None
    single = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node],
            "fold",
            [],
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name],
            [onnx.numpy_helper.from_array(value, name) for name, value in read.items()],
        ),
        opset_imports=graph.model.opset_import,
        ir_version=max(graph.model.ir_version, SEPARATE_WEIGHTS),
    )
    try:
        if node.op_type in _RUNTIMES_OWN:
            values = list(Reference(single).run({}).values())
        else:
            values = ReferenceEvaluator(single).run(None, {})
    except Exception:  # of any kind: it is a reference for valid nodes
        return None
    made = iter(values)
    found = [np.asarray(next(made)) if name else np.empty(0) for name in node.output]
    return found if all(value.dtype != object for value in found) else None
