"""Reading an ONNX file that anyone may have written: checked before it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.errors import BadInput
from edgeanim.core.files import inside
from edgeanim.graph.protobuf import MAX_BYTES, parse_onnx

STANDARD = ("", "ai.onnx")
"""The domains of ONNX's own ops."""
RUNTIME_DOMAINS = ("com.microsoft",)
"""Extensions that ONNX Runtime brings; no other backend is promised to run them."""

_QUANTIZED = (
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
)
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
REMAINING = "ONNX Runtime and OpenVINO can still run this model; TFLite and pruning cannot."
"""What is possible with a graph that PyTorch cannot take."""


def read_onnx(path: Path) -> Any:
    """The file as a checked `ModelProto`, with weights inline and local functions expanded.

    `BadInput` for anything else than a sound static float32 graph: a missing, empty, truncated or
    foreign file, more than 2 GB, external data outside the file's folder, unknown ops or domains,
    ops that draw at random or are in training mode, dynamic shapes, types other than float32 at the
    ends, NaN or infinite weights.
    """
    model = load_onnx(path)
    check_ops(model, path)
    check_repeatable(model, path)
    _check_norms(model, path)
    _run_checker(model, path)
    _check_ends(model, path)
    _check_weights(model, path)
    return model


def load_onnx(path: Path) -> Any:
    """The same `ModelProto` before it is checked; `BadInput` if the file or its weights cannot be
    read."""
    model = parse_onnx(path)
    _load_external_data(model, path)
    return _inline_functions(model, path)


def opset_of(model: Any) -> int:
    """The version of ONNX's own ops that a `ModelProto` counts on."""
    version: int = next(e.version for e in model.opset_import if e.domain in STANDARD)
    return version


def graph_inputs(model: Any) -> list[Any]:
    """The inputs that a caller feeds: old files list their weights among the inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def unread_inputs(model: Any) -> list[str]:
    """The names of the inputs that no node reads and that are no output, if others are read."""
    read = {value.name for value in model.graph.output}
    for node in all_nodes(model.graph):
        read.update(node.input)
    names = [value.name for value in graph_inputs(model)]
    unread = [name for name in names if name not in read]
    return unread if len(unread) < len(names) else []


def quantized_node(model: Any) -> Any | None:
    """The first node of a graph that computes in 8 bits, or rounds to them, already."""
    return next((node for node in all_nodes(model.graph) if node.op_type in _QUANTIZED), None)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The fixed shape of a `ValueInfoProto`; `None` if it is unknown or not fixed."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    return shape if all(size > 0 for size in shape) else None


def value_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all values whose every axis is known, stored ones included."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    graph = model.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def whole_values(model: Any) -> frozenset[str]:
    """The names of all values known to be whole numbers, stored ones included."""
    import onnx

    graph = model.graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    kinds |= {value.name: value.type.tensor_type.elem_type for value in values}
    return frozenset(
        name
        for name, kind in kinds.items()
        if kind and np.issubdtype(onnx.helper.tensor_dtype_to_np_dtype(kind), np.integer)
    )


def node_label(node: Any) -> str:
    """How an error names a node: by its own name, or by what it makes."""
    return repr(node.name or (node.output[0] if node.output else "?"))


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


def _check_norms(model: Any, where: object) -> None:
    """`BadInput` names the first batch norm in training mode: what it computes is another thing in
    each runtime, which would be told as drift only after all has been compiled."""
    for node in all_nodes(model.graph):
        if node.op_type == "BatchNormalization" and _is_training(node, model):
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


def all_nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of nested graphs (If, Loop) included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for nested in (attribute.g, *attribute.graphs):
                yield from all_nodes(nested)


def stored_tensors(model: Any) -> Iterator[Any]:
    """All stored tensors: weights and constants, of nested graphs and functions too."""
    for holder in (model.graph, *model.functions):
        yield from getattr(holder, "initializer", ())
        for node in all_nodes(holder):
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors, *attribute.g.initializer)


def _external(model: Any) -> Iterator[Any]:
    from onnx.external_data_helper import uses_external_data

    return (tensor for tensor in stored_tensors(model) if uses_external_data(tensor))


def _external_entry(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _load_external_data(model: Any, path: Path) -> None:
    """Bring external weights into `model`, from regular files inside the folder of `path` only."""
    from onnx.external_data_helper import load_external_data_for_tensor

    total = 0
    for tensor in _external(model):
        entry = _external_entry(tensor)
        file = inside(path.parent, entry.get("location", ""))
        label = f"the weight {tensor.name!r}"
        if not file.is_file():
            raise BadInput(
                f"The external data file of {label} is missing: {file.name}.",
                where=path,
                hint="Keep it in the folder of the ONNX file.",
            )
        try:
            offset = int(entry.get("offset", "0"))
            length = int(entry.get("length", file.stat().st_size - offset))
        except ValueError as error:
            raise BadInput(f"The place of {label} is not a number.", where=path) from error
        total += length
        if offset < 0 or length < 0 or offset + length > file.stat().st_size:
            raise BadInput(f"The external data file of {label} is too short.", where=file)
        if total > MAX_BYTES:
            raise BadInput("The weights of this model exceed 2 GiB.", where=path)
        try:
            load_external_data_for_tensor(tensor, str(path.parent))
        except Exception as error:
            raise BadInput(f"The data of {label} cannot be read: {error}", where=file) from error
        tensor.data_location = 0
        del tensor.external_data[:]


def _inline_functions(model: Any, path: Path) -> Any:
    if not model.functions:
        return model
    import onnx.inliner

    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise BadInput(
            f"The local functions of this model cannot be expanded: {error}", where=path
        ) from error


def _run_checker(model: Any, path: Path) -> None:
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


def _check_ends(model: Any, path: Path) -> None:
    """Inputs and outputs are float32; the inputs' shapes are fixed."""
    import onnx

    for kind, values in (("input", graph_inputs(model)), ("output", model.graph.output)):
        for value in values:
            if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
                held = _type_name(value.type.tensor_type.elem_type)
                raise BadInput(
                    f"The {kind} {value.name!r} is {held}; only float32 is supported.",
                    where=path,
                    hint="Move the conversion out of the graph and export it again.",
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
        raise BadInput("This graph has no input.", where=path)
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
    raise BadInput(
        f"Axis {dynamic[-1]} ({shown[dynamic[-1]]}) of the input {value.name!r} is dynamic: "
        f"[{', '.join(shown)}]. Every shape must be fixed.",
        where=path,
        hint="Export it with fixed shapes, or fix them with: python -m "
        f"onnxruntime.tools.make_dynamic_shape_fixed --input_name {value.name} --input_shape "
        f"{','.join(fixed)} {path.name} fixed.onnx{numbers}",
    )


def _check_weights(model: Any, path: Path) -> None:
    """No NaN anywhere, and no infinity but in single numbers, which are limits (of a Clip, say)."""
    import onnx

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    for tensor in stored_tensors(model):
        if tensor.data_type not in onnx.TensorProto.DataType.values():
            raise BadInput(f"The weight {tensor.name!r} is of an unknown type.", where=path)
        if not tensor.data_type:  # of an attribute that holds no tensor
            continue
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise BadInput(f"The weight {tensor.name!r} is damaged: {error}", where=path) from error
        if tensor.data_type not in floats:
            continue
        if np.isnan(values).any() or (values.size > 1 and np.isinf(values).any()):
            raise BadInput(
                f"The weight {tensor.name!r} holds NaN or infinite values.",
                where=path,
                hint="Its training diverged, or the file is damaged; export it again.",
            )
