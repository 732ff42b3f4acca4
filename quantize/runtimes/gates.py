"""Gates that ONNX Runtime computes in 8 bits: x sigmoid(x), and x times a weight for each channel.
Hard sigmoids count: `rewrites.hard_gates` gives them a form in 8 bits.

In float each costs two conversions of the whole map, and the mean that a squeeze-and-excite block
takes of it lies across its channels-last order: nets of such blocks took nearly twice as long in
INT8 as in float. A gate lies in 0..1, so that 8 bits hold it well. Gates of other values as large
as the map, which recurrent nets have, stay in float: what they carry on is never rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from edgeanim.graph.queries import makers_of, readers_of, value_shapes
from edgeanim.quantize.ranges.methods import TensorRange

_GATES = ("HardSigmoid", "Sigmoid")
_WHOLE = "HardSwish"
"""A gate in one op, which ONNX Runtime takes apart when a graph is prepared."""


def find_gates(model: Any) -> set[str]:
    """The names of a `shaped` model's nodes that are glue for ONNX Runtime: products, and sigmoids
    that these alone read."""
    found = {node.name for node in model.graph.node if node.op_type == _WHOLE}
    readers = readers_of(model)
    for product, gate in _gated(model):
        found.add(product.name)
        whole = gate.input[0] in product.input
        if whole and len(readers[gate.output[0]]) == 1:
            found.add(gate.name)
    return found


def gate_ranges(model: Any) -> Mapping[str, TensorRange]:
    """The ranges of the sigmoids in gates by what they give: they need not be measured."""
    return {gate.output[0]: TensorRange(0.0, 1.0, 1.0) for _, gate in _gated(model)}


def _gated(model: Any) -> Iterator[tuple[Any, Any]]:
    """Each product with the sigmoid that it takes as a gate."""
    shapes = value_shapes(model)
    makers = makers_of(model)
    for node in model.graph.node:
        for x, name in _factors(node):
            gate = makers.get(name)
            if x not in makers or gate is None or gate.op_type not in _GATES:
                continue
            smaller = prod(shapes.get(name, ())) < prod(shapes.get(x, ()))
            if gate.input[0] == x or smaller:
                yield node, gate


def _factors(node: Any) -> tuple[tuple[str, str], ...]:
    """The two inputs of a product, each in either place."""
    if node.op_type != "Mul":
        return ()
    left, right = node.input
    return (left, right), (right, left)
