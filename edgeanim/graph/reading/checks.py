"""What an ONNX file that anyone may have written must be, for its frames to mean anything."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.errors import BadInput
from edgeanim.graph.nested import all_nodes
from edgeanim.graph.queries import (
    RUNTIME_DOMAINS,
    STANDARD,
    graph_inputs,
    node_label,
    opset_of,
    shape_of,
    stored_tensors,
    unread_inputs,
)
from edgeanim.graph.reading.protobuf import MAX_BYTES

RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
"""Ops that draw anew whenever they run."""

_TRAINING_MODE = 14
"""Since this opset a batch norm says whether it is in training mode."""

_EVALUATE = "Export the net in evaluation mode: call its .eval() first."


def check_ops(model: Any, where: object) -> None:
    """`BadInput` names the first op that ONNX (at the file's opset) does not have."""
    import onnx

    opsets = {entry.domain: entry.version for entry in model.opset_import}
    for node in all_nodes(model.graph):
        if node.domain in RUNTIME_DOMAINS:
            continue
        if node.domain not in STANDARD:
            raise BadInput(
                f"The op {node.domain}.{node.op_type} of node {node_label(node)} belongs to a "
                "domain that none of the backends knows.",
                where=where,
                hint="Export the model with standard ONNX ops; no backend can run this one.",
            )
        version = opsets.get(node.domain, opsets.get("", opsets.get("ai.onnx", 0)))
        try:
            onnx.defs.get_schema(node.op_type, version, "")
        except (onnx.defs.SchemaError, TypeError):  # the latter for a version beyond any integer
            raise BadInput(
                f"The op {node.op_type} of node {node_label(node)} does not exist in ONNX "
                f"opset {version}.",
                where=where,
                hint="Export the model with standard ONNX ops; no backend can run this one.",
            ) from None


def check_repeatable(model: Any, where: object) -> None:
    """`BadInput` names the first op that draws at random: golden frames, the checks of rewrites and
    the drift all count on a graph that gives the same for the same."""
    for node in all_nodes(model.graph):
        if node.op_type in RANDOM and node.domain in STANDARD:
            raise BadInput(
                f"The op {node.op_type} of node {node_label(node)} draws other numbers whenever it "
                "runs, so that no result could be compared with another.",
                where=where,
                hint="Make them an input of the net, or a stored constant, and export it again.",
            )
    for node in _dropouts_in_training(model):
        raise BadInput(
            f"The op Dropout of node {node_label(node)} is in training mode: it zeroes other "
            "values whenever it runs.",
            where=where,
            hint=_EVALUATE,
        )


def check_norms(model: Any, where: object) -> None:
    """`BadInput` names the first batch norm in training mode that stores statistics: what it
    computes is another thing in each runtime, which would be told as drift only after all has been
    compiled. Of one that is given what it would measure, all make the same (`own_statistics`)."""
    measured = {n.output[0] for n in all_nodes(model.graph) if n.op_type == "ReduceMean"}
    for node in all_nodes(model.graph):
        is_norm = node.op_type == "BatchNormalization"
        if is_norm and _is_training(node, model) and node.input[3] not in measured:
            raise BadInput(
                f"The op BatchNormalization of node {node_label(node)} is in training mode, in "
                "which runtimes compute different things.",
                where=where,
                hint=f"{_EVALUATE} If each picture's own mean is meant, use an InstanceNorm.",
            )


def _is_training(norm: Any, model: Any) -> bool:
    """By its attribute, which came with opset 14; before, by asking for more than the result."""
    if opset_of(model) < _TRAINING_MODE:
        return any(norm.output[1:])
    return any(one.name == "training_mode" and one.i for one in norm.attribute)


def _dropouts_in_training(model: Any) -> Iterator[Any]:
    """Those whose `training_mode` is stored and true."""
    import onnx

    dropouts = [n for n in all_nodes(model.graph) if n.op_type == "Dropout" and n.input[2:]]
    if not dropouts:
        return
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    stored |= {
        node.output[0]: attribute.t
        for node in all_nodes(model.graph)
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    }
    for node in dropouts:
        mode = stored.get(node.input[2])
        if mode is not None and onnx.numpy_helper.to_array(mode).any():
            yield node


def run_checker(model: Any, path: Path) -> None:
    """`BadInput` with what ONNX's own checker says against the graph."""
    import onnx

    with graph_errors(path):
        onnx.checker.check_model(model)


@contextmanager
def graph_errors(path: Path) -> Iterator[None]:
    """What ONNX raises inside the block for a graph that is not valid is `BadInput`."""
    import onnx

    try:
        yield
    except (
        onnx.checker.ValidationError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"This ONNX graph is not valid: {reason}", where=path) from error


def check_ends(model: Any, path: Path) -> None:
    """Inputs and outputs are float32; the inputs' shapes are fixed."""
    import onnx

    for kind, values in (("input", graph_inputs(model)), ("output", model.graph.output)):
        for value in values:
            if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
                held = value.type.tensor_type.elem_type
                raise BadInput(
                    f"The {kind} {value.name!r} is {_type_name(held)}; only float32 is supported.",
                    where=path,
                    hint="Call .float() on the net and export it again."
                    if held == onnx.TensorProto.DOUBLE
                    else "Move the conversion out of the graph and export it again.",
                )
    for value in graph_inputs(model):
        shape = shape_of(value)
        if shape is None:
            _refuse_dynamic(value, path)
        elif prod(shape) * 4 > MAX_BYTES:
            raise BadInput(
                f"The input {value.name!r} is {list(shape)}, more than 2 GiB of float32.",
                where=path,
                hint="Export it with a smaller shape.",
            )
    if not graph_inputs(model):
        raise BadInput(
            "This graph has no input.",
            where=path,
            hint="Export the net so that the picture that it works on is an input.",
        )
    for name in unread_inputs(model):
        raise BadInput(
            f"No node reads the input {name!r}.",
            where=path,
            hint="Leave it out of the graph, and of its contract.",
        )


def _type_name(code: int) -> str:
    import onnx

    names: dict[int, str] = {n: text.lower() for text, n in onnx.TensorProto.DataType.items()}
    return names.get(code, f"of an unknown type ({code})")


def _refuse_dynamic(value: Any, path: Path) -> None:
    dims = value.type.tensor_type.shape.dim
    if not dims:
        raise BadInput(
            f"The input {value.name!r} has no shape.", where=path, hint="Export it with one."
        )
    dynamic = [i for i, dim in enumerate(dims) if dim.dim_value < 1]
    shown = [str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?" for dim in dims]
    fixed = [("N" if i else "1") if i in dynamic else text for i, text in enumerate(shown)]
    numbers = ", with numbers for N" if "N" in fixed else ""
    name, file = shlex.quote(value.name), shlex.quote(path.name)
    raise BadInput(
        f"Axis {dynamic[-1]} ({shown[dynamic[-1]]}) of the input {value.name!r} is dynamic: "
        f"[{', '.join(shown)}]. Every shape must be fixed.",
        where=path,
        hint="Export it with fixed shapes, or fix them with: python -m "
        f"onnxruntime.tools.make_dynamic_shape_fixed --input_name {name} --input_shape "
        f"{','.join(fixed)} {file} fixed.onnx{numbers}",
    )


def check_weights(model: Any, path: Path) -> None:
    """None is sparse. No NaN anywhere, and no infinity but in single numbers, which are limits (of
    a Clip, say), and beside zeros alone, where it is a mask of what attention is not to see."""
    import onnx

    for name in _sparse_weights(model):
        raise BadInput(
            f"The weight {name!r} is stored as a sparse tensor, which not every backend reads.",
            where=path,
            hint="Store it with its zeros, and export the model again.",
        )
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    for tensor in stored_tensors(model):
        if tensor.data_type not in onnx.TensorProto.DataType.values():
            raise BadInput(f"The weight {tensor.name!r} is of an unknown type.", where=path)
        if not tensor.data_type:  # of an attribute that holds no tensor
            continue
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"The weight {tensor.name!r} is damaged: {error}",
                where=path,
                hint="Copy or export the file again.",
            ) from error
        if tensor.data_type not in floats:
            continue
        is_limit = values.size == 1 or not values[values != -np.inf].any()
        if np.isnan(values).any() or (not is_limit and np.isinf(values).any()):
            raise BadInput(
                f"The weight {tensor.name!r} holds NaN or infinite values.",
                where=path,
                hint="Its training diverged, or the file is damaged; export it again.",
            )


def _sparse_weights(model: Any) -> Iterator[str]:
    yield from (tensor.values.name for tensor in model.graph.sparse_initializer)
    for node in all_nodes(model.graph):
        for attribute in node.attribute:
            yield from (tensor.values.name for tensor in attribute.g.sparse_initializer)
            if attribute.HasField("sparse_tensor"):
                yield node.output[0]
