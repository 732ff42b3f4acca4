"""Reading an ONNX file that anyone may have written: checked before it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput
from edgeanim.core.files import inside
from edgeanim.graph.nested import all_nodes
from edgeanim.graph.queries import stored_tensors
from edgeanim.graph.reading.checks import (
    check_ends,
    check_norms,
    check_ops,
    check_repeatable,
    check_weights,
    run_checker,
)
from edgeanim.graph.reading.protobuf import MAX_BYTES, parse_onnx

# Thirty functions that each call the one before twice are a billion nodes.
_MOST_EXPANDED = 100_000


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
    check_norms(model, path)
    run_checker(model, path)
    check_ends(model, path)
    check_weights(model, path)
    return model


def load_onnx(path: Path) -> Any:
    """The same `ModelProto` before it is checked; `BadInput` if the file or its weights cannot be
    read."""
    model = parse_onnx(path)
    _load_external_data(model, path)
    return _inline_functions(model, path)


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
            raise BadInput(
                f"The external data file of {label} is too short.",
                where=file,
                hint="Copy it again, or export the model again.",
            )
        if total > MAX_BYTES:
            raise BadInput(
                "The weights of this model exceed 2 GiB.",
                where=path,
                hint="Export a smaller one: such a net is none for a board.",
            )
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

    if _expanded_nodes(model) > _MOST_EXPANDED:
        raise BadInput(
            f"The local functions of this model expand to more than {_MOST_EXPANDED} nodes.",
            where=path,
        )
    _fill_in_defaults(model)
    try:
        made = onnx.inliner.inline_local_functions(model)
        if made.functions:  # those of another opset than the model's, which types must be known for
            typed = onnx.shape_inference.infer_shapes(model)
            made = onnx.inliner.inline_local_functions(typed, convert_version=True)
    except Exception as error:
        raise BadInput(
            f"The local functions of this model cannot be expanded: {error}", where=path
        ) from error
    return made


def _fill_in_defaults(model: Any) -> None:
    """Say at every call of a local function what its attributes are by default: ONNX's inliner
    (1.23) forgets it, and expands to ops with defaults of their own."""
    functions = {_called(f, f.name): f for f in model.functions}
    for holder in (model.graph, *model.functions):
        for node in all_nodes(holder):
            function = functions.get(_called(node, node.op_type))
            given = {attribute.name for attribute in node.attribute}
            for default in () if function is None else function.attribute_proto:
                if default.name not in given:
                    node.attribute.append(default)


def _expanded_nodes(model: Any) -> int:
    """How many nodes there are once functions are expanded; 0 where they call themselves, which
    ONNX refuses."""
    calls = {
        _called(f, f.name): [_called(n, n.op_type) for n in all_nodes(f)] for f in model.functions
    }
    sizes: dict[tuple[str, str, str], int] = {}
    try:
        for name in TopologicalSorter(calls).static_order():
            inner = sum(sizes[call] for call in calls.get(name, ()))
            sizes[name] = min(max(inner, 1), _MOST_EXPANDED + 1)
    except CycleError:
        return 0
    return sum(sizes.get(_called(n, n.op_type), 1) for n in all_nodes(model.graph))


def _called(owner: Any, name: str) -> tuple[str, str, str]:
    domain = "" if owner.domain == "ai.onnx" else owner.domain
    return domain, name, getattr(owner, "overload", "")
