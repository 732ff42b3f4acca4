"""What the tensors of a bare image-to-image ONNX mean: by shapes, names and last ops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgeanim.core.contract import Contract
from edgeanim.graph.edit import clip_limits
from edgeanim.graph.queries import graph_inputs, shape_of
from edgeanim.graph.read import read_onnx
from edgeanim.graph.reference import Reference, inputs_for
from edgeanim.graph.rewrites.constants import Values
from edgeanim.graph.roles import DEFAULT_RANGE, finished_picture, spec_of_shapes

_BOUNDED = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
_ANYTHING = (-math.inf, math.inf)
_LARGEST = 3e38
_KEEPS_RANGE = ("Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Resize", "Slice")


def infer_contract(onnx_path: Path) -> Contract:
    """The contract of an image-to-image graph (see `roles.spec_of_shapes`).

    The output's range follows from its last bounded op, 0..1 where there is none; the input is
    taken to have the same one. `BadInput` if the graph is not of that kind.
    """
    return contract_of(read_onnx(onnx_path), onnx_path)


def contract_of(model: Any, path: Path) -> Contract:
    """`infer_contract` for a model that is already read from `path`."""
    inputs = {value.name: shape_of(value) or () for value in graph_inputs(model)}
    outputs = output_shapes(model, path)
    values = output_range(model, finished_picture(outputs, path)) or DEFAULT_RANGE
    graph = spec_of_shapes(path, inputs, outputs, values)
    return Contract(name=graph.name, graphs=(graph,))


def output_shapes(model: Any, where: object) -> dict[str, tuple[int, ...]]:
    """The outputs' shapes: as declared, or found by running the graph once where they are not."""
    declared = {value.name: shape_of(value) for value in model.graph.output}
    known = {name: shape for name, shape in declared.items() if shape is not None}
    if len(known) == len(declared):
        return known
    made = Reference(model, where=where).run(inputs_for(model))
    return {name: tuple(made[name].shape) for name in declared}


def output_range(model: Any, name: str) -> tuple[float, float] | None:
    """The interval of an output, from the last bounded op and the affine ops after it."""
    try:
        low, high = _ends_of(name, Values(model))
    except RecursionError:  # a thousand such ops after one another: no export, and no range
        return None
    return (low, high) if -math.inf < low < high < math.inf else None


def _ends_of(name: str, values: Values) -> tuple[float, float]:
    """Between what a tensor lies; infinite where nothing bounds it."""
    node = values.makers.get(name)
    if node is None:
        return _ANYTHING
    if node.op_type in _BOUNDED:
        return _BOUNDED[node.op_type]
    if node.op_type == "Clip":
        return _clipped(node, values)
    if node.op_type in _KEEPS_RANGE:
        return _ends_of(node.input[0], values)
    if node.op_type in ("Min", "Max"):
        return _limited(node, values)
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        return _moved(node, values)
    return _ANYTHING


def _clipped(node: Any, values: Values) -> tuple[float, float]:
    """The limits, of which some exporters write the largest number for none."""
    low, high = clip_limits(node, values.number) or (None, None)
    return (
        -math.inf if low is None or low <= -_LARGEST else low,
        math.inf if high is None or high >= _LARGEST else high,
    )


def _limited(node: Any, values: Values) -> tuple[float, float]:
    """Of a smaller or a larger one of some value and a number: a clipping at one end."""
    value, limit = _with_number_last(node, values)
    if limit is None:
        return _ANYTHING
    low, high = _ends_of(value, values)
    if node.op_type == "Min":
        return min(low, limit), min(high, limit)
    return max(low, limit), max(high, limit)


def _moved(node: Any, values: Values) -> tuple[float, float]:
    """Of `bounded op scalar`, or of `scalar + bounded` and `scalar * bounded`."""
    value, number = _with_number_last(node, values)
    if number is None or (node.op_type in ("Mul", "Div") and number == 0):
        return _ANYTHING
    low, high = _ends_of(value, values)
    if node.op_type in ("Mul", "Div"):
        factor = number if node.op_type == "Mul" else 1 / number
        low, high = sorted((low * factor, high * factor))
        return low, high
    offset = number if node.op_type == "Add" else -number
    return low + offset, high + offset


def _with_number_last(node: Any, values: Values) -> tuple[str, float | None]:
    """What a node of two inputs does something to, and the number by which it does."""
    if len(node.input) != 2:
        return "", None
    left, right = node.input
    if node.op_type not in ("Sub", "Div") and values.number(left) is not None:
        left, right = right, left
    return left, values.number(right)
