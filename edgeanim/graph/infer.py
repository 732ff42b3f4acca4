"""What the tensors of a bare image-to-image ONNX mean: by shapes, names and last ops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgeanim.core.contract import Contract, TensorSpec
from edgeanim.graph.edit import clip_limits
from edgeanim.graph.read import graph_inputs, read_onnx, shape_of
from edgeanim.graph.reference import Reference, seeded_inputs
from edgeanim.graph.roles import DEFAULT_RANGE, finished_picture, spec_of_shapes

_BOUNDED = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
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
    specs = [TensorSpec(v.name, "condition:any", shape_of(v) or ()) for v in graph_inputs(model)]
    made = Reference(model, where=where).run(seeded_inputs(specs))
    return {name: tuple(made[name].shape) for name in declared}


def output_range(model: Any, name: str) -> tuple[float, float] | None:
    """The interval of an output, from the last bounded op and the affine ops after it."""
    import onnx

    makers = {out: node for node in model.graph.node for out in node.output}
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return _range_of(name, makers, constants)


def _range_of(name: str, makers: Any, constants: Any) -> tuple[float, float] | None:
    node = makers.get(name)
    if node is None:
        return None
    if node.op_type in _BOUNDED:
        return _BOUNDED[node.op_type]
    if node.op_type == "Clip":
        return _clipped_range(node, constants)
    if node.op_type in _KEEPS_RANGE:
        return _range_of(node.input[0], makers, constants)
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        return _affine_range(node, makers, constants)
    return None


def _clipped_range(node: Any, constants: Any) -> tuple[float, float] | None:
    def number_of(limit: str) -> float | None:
        value = constants.get(limit)
        return None if value is None or value.size != 1 else float(value.item())

    low, high = clip_limits(node, number_of) or (None, None)
    if low is None or high is None:
        return None
    return (low, high) if -math.inf < low < high < math.inf else None


def _affine_range(node: Any, makers: Any, constants: Any) -> tuple[float, float] | None:
    """The range of `bounded op scalar`, or of `scalar + bounded` and `scalar * bounded`."""
    left, right = node.input
    if left in constants and node.op_type in ("Add", "Mul"):
        left, right = right, left
    scalar = constants.get(right)
    inner = _range_of(left, makers, constants)
    if inner is None or scalar is None or scalar.size != 1:
        return None
    value = float(scalar.item())
    if node.op_type == "Div":
        if value == 0:
            return None
        value = 1 / value
    if node.op_type in ("Mul", "Div"):
        ends = [end * value for end in inner]
    else:
        ends = [end + (value if node.op_type == "Add" else -value) for end in inner]
    return (min(ends), max(ends)) if min(ends) < max(ends) else None
