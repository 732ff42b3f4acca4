"""What the tensors of a bare image-to-image ONNX mean, judged by shapes, names and last ops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgeanim.core.contract import Contract, GraphSpec, Layout, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.graph.read import graph_inputs, read_onnx, shape_of
from edgeanim.graph.reference import Reference, seeded_inputs

_PICTURE_CHANNELS = (1, 3, 4)
_SMALLEST_SIDE = 8
_BOUNDED = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
_KEEPS_RANGE = ("Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Resize", "Slice")
_DEFAULT_RANGE = (0.0, 1.0)
_OWN_CONTRACT = "Describe it in a model.toml and pass that along."


def infer_contract(onnx_path: Path) -> Contract:
    """The contract of an image-to-image graph: one picture in, one picture out.

    The picture input becomes `driving_frame` (`still` if its name says so), the picture output
    `frame`, any other input `condition:NAME` and any other output `feature:NAME`. Layout follows
    from the axis that has 1, 3 or 4 channels. The output's range follows from its last bounded op;
    0..1 where there is none; the input is taken to have the same one.
    `BadInput` if the graph is not of that kind.
    """
    return contract_of(read_onnx(onnx_path), onnx_path)


def contract_of(model: Any, path: Path) -> Contract:
    """`infer_contract` for a model that is already read from `path`."""
    name = identifier(path.stem)
    inputs = {value.name: shape_of(value) or () for value in graph_inputs(model)}
    outputs = output_shapes(model, path)
    pictures_in = [n for n, shape in inputs.items() if _picture_layout(shape)]
    pictures_out = [n for n, shape in outputs.items() if _picture_layout(shape)]
    if len(pictures_out) != 1:
        raise BadInput(
            f"Of the outputs ({_shown(outputs)}), {len(pictures_out) or 'none'} could be the "
            "finished picture; exactly one is needed to tell what this model does.",
            where=path,
            hint=_OWN_CONTRACT,
        )
    values = output_range(model, pictures_out[0]) or _DEFAULT_RANGE
    roles = _picture_roles(pictures_in, inputs, path)
    taken = set(roles.values())
    graph = GraphSpec(
        name=name,
        file=path.name,
        runs="frame",
        inputs=tuple(
            _picture(n, roles[n], shape, values)
            if n in roles
            else TensorSpec(n, _unused(f"condition:{identifier(n)}", taken), shape)
            for n, shape in inputs.items()
        ),
        outputs=tuple(
            _picture(n, "frame", shape, values)
            if n in pictures_out
            else TensorSpec(n, _unused(f"feature:{identifier(n)}", taken), shape)
            for n, shape in outputs.items()
        ),
    )
    return Contract(name=name, graphs=(graph,))


def identifier(name: str) -> str:
    """`name` with everything but letters, digits, `.`, `-` and `_` replaced by `_`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.") or "unnamed"


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
        limits = [constants.get(n) for n in node.input[1:3]]
        if len(limits) == 2 and all(v is not None and v.size == 1 for v in limits):
            return float(limits[0].item()), float(limits[1].item())
        return None
    if node.op_type in _KEEPS_RANGE:
        return _range_of(node.input[0], makers, constants)
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        return _affine_range(node, makers, constants)
    return None


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


def _picture_layout(shape: tuple[int, ...]) -> Layout | None:
    """The layout if this can be one picture; channels-first where both readings are possible."""
    if len(shape) != 4 or shape[0] != 1:
        return None
    if shape[1] in _PICTURE_CHANNELS and min(shape[2:]) >= _SMALLEST_SIDE:
        return "NCHW"
    if shape[3] in _PICTURE_CHANNELS and min(shape[1:3]) >= _SMALLEST_SIDE:
        return "NHWC"
    return None


def _picture_roles(
    names: list[str], inputs: dict[str, tuple[int, ...]], path: Path
) -> dict[str, str]:
    """The role of each picture input; a still beside a driving frame is told by its name."""
    roles = dict.fromkeys(names, "driving_frame")
    if len(names) > 1:
        for name in names:
            if re.search(r"still|source|reference", name.lower()):
                roles[name] = "still"
    if not names or len(set(roles.values())) != len(names):
        raise BadInput(
            f"Of the inputs ({_shown(inputs)}), {len(names) or 'none'} could be the picture to "
            "work on; exactly one is needed to tell what this model does.",
            where=path,
            hint=_OWN_CONTRACT,
        )
    return roles


def _picture(
    name: str, role: str, shape: tuple[int, ...], values: tuple[float, float]
) -> TensorSpec:
    return TensorSpec(name, role, shape, layout=_picture_layout(shape) or "plain", range=values)


def _unused(role: str, taken: set[str]) -> str:
    """`role`, numbered if two names came out the same."""
    candidate, count = role, 2
    while candidate in taken:
        candidate, count = f"{role}_{count}", count + 1
    taken.add(candidate)
    return candidate


def _shown(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
