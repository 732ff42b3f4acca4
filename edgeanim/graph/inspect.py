"""What a model is: its graphs, tensors, size and arithmetic, and what stands in the way of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec
from edgeanim.core.packages import installed
from edgeanim.graph.edit import attributes
from edgeanim.graph.load import load_model
from edgeanim.graph.normalize import OLDEST_OPSET
from edgeanim.graph.pytorch.to_torch import importable_form, unknown_nodes
from edgeanim.graph.queries import (
    FLOAT_WANTED,
    REMAINING,
    RUNTIME_DOMAINS,
    node_label,
    opset_of,
    quantized_already,
    stored_tensors,
    value_shapes,
)
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.restructure import restructure

_CONTROL = {"If", "Loop"}
_RECURRENT = {"GRU", "LSTM", "RNN"}
_NOTES = {
    "GridSample": "GridSample is lowered to clamp and gather where a runtime has no fast one.",
    "ConvTranspose": "ConvTranspose stays float32 in ONNX Runtime's INT8.",
    "InstanceNormalization": "Instance norms stay float32 in INT8 graphs, at the cost of a "
    "dequantise and a quantise each.",
    "If": "Control flow (If) cannot be brought into PyTorch or TFLite.",
    "Loop": "Control flow (Loop) cannot be brought into PyTorch or TFLite.",
}


@dataclass(frozen=True)
class GraphInfo:
    """One graph. `params` counts the stored float32 numbers, `macs` the multiply-accumulates of a
    run, which `macs_by_op` splits by op; `ops` counts the nodes.

    `importable` says whether every op can be brought into PyTorch, which TFLite and pruning need;
    `None` if PyTorch is not installed. `warnings` are sentences for the user.
    """

    spec: GraphSpec
    opset: int
    params: int
    macs: int
    macs_by_op: Mapping[str, int]
    ops: Mapping[str, int]
    importable: bool | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ModelInfo:
    """A whole model: its contract (inferred for a bare ONNX), its graphs, and `Model.digest`."""

    contract: Contract
    graphs: tuple[GraphInfo, ...]
    digest: str


def inspect_model(path: Path, overrides: Path | None = None) -> ModelInfo:
    """Describe a model folder or an `.onnx`; `overrides` is a `model.toml`, as in `load_model`."""
    model = load_model(path, overrides)
    graphs = tuple(inspect_graph(graph) for graph in model.graphs)
    return ModelInfo(model.contract, graphs, model.digest)


def inspect_graph(graph: GraphArtifact) -> GraphInfo:
    """Describe one float32 graph of a model."""
    import onnx

    spec = graph.spec
    model = read_onnx(graph.path)
    clean = importable_form(model)  # where shapes that the file computes are numbers
    macs = _macs_by_op(clean)
    weights = (t for t in stored_tensors(model) if t.data_type == onnx.TensorProto.FLOAT)
    blocking = _blocking(clean)
    return GraphInfo(
        spec=spec,
        opset=opset_of(model),
        params=sum(prod(tensor.dims) for tensor in weights),
        macs=sum(macs.values()),
        macs_by_op=macs,
        ops=dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        importable=None if blocking is None else not blocking,
        warnings=tuple(_warnings(model, clean, blocking or [])),
    )


def _macs_by_op(model: Any) -> dict[str, int]:
    """Multiply-accumulates of Conv, ConvTranspose, Gemm, MatMul and recurrent ops, where the shapes
    are known."""
    shapes = value_shapes(model)
    totals: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in _RECURRENT:
            x, *weights = (shapes.get(name) for name in node.input[:3])
            if x is not None and None not in weights:
                totals[node.op_type] += prod(x[:2]) * sum(prod(shape or ()) for shape in weights)
            continue
        known = [shapes.get(name) for name in (*node.input[:2], *node.output[:1])]
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or None in known:
            continue
        left, right, out = (shape or () for shape in known)
        if node.op_type == "Conv":
            totals[node.op_type] += prod(out) * prod(right[1:])
        elif node.op_type == "ConvTranspose":
            totals[node.op_type] += prod(left) * prod(right[1:])
        else:
            inner = left[0] if attributes(node).get("transA", 0) else left[-1]
            totals[node.op_type] += prod(out) * inner
    return dict(sorted(totals.items()))


def _blocking(model: Any) -> list[Any] | None:
    """The nodes that PyTorch cannot take; `None` if it is not installed."""
    return unknown_nodes(model) if installed("torch") else None


def refused_ops(graph: GraphArtifact) -> list[str]:
    """A sentence for each op of a float32 graph that certainly cannot be brought into PyTorch; none
    if that is not installed."""
    return _refused(_blocking(importable_form(read_onnx(graph.path))) or [])


def _stays_transposed(model: Any) -> bool:
    """Whether a transposed convolution is left in the form that is quantised."""
    return any(node.op_type == "ConvTranspose" for node in restructure(model).model.graph.node)


def _refused(blocking: list[Any]) -> list[str]:
    """A sentence for each op that PyTorch cannot take, which names the first node of it."""
    return [f"{named} cannot be brought into PyTorch." for named in _by_op(blocking)]


def _by_op(nodes: Sequence[Any]) -> list[str]:
    """Each op of these nodes, by the first node of it and how many more there are."""
    counts = Counter(node.op_type for node in nodes)
    first = {node.op_type: node for node in reversed(nodes)}
    return [
        f"The op {op} of node {node_label(first[op])}"
        f"{f' and {count - 1} more' if count > 1 else ''}"
        for op, count in counts.items()
    ]


def _obstacles(model: Any, blocking: list[Any]) -> list[str]:
    """What keeps the graph from being taken further; nothing can be done to a quantised one."""
    if (quantized := quantized_already(model)) is not None:
        return [f"{quantized} {FLOAT_WANTED}"]
    others = [node for node in blocking if node.domain not in RUNTIME_DOMAINS]
    own = [node for node in model.graph.node if node.domain in RUNTIME_DOMAINS]
    return [
        *(f"{sentence} {REMAINING}" for sentence in _refused(others)),
        *(f"{named} runs in ONNX Runtime only." for named in _by_op(own)),
    ]


def _warnings(model: Any, clean: Any, blocking: list[Any]) -> list[str]:
    found = _obstacles(model, blocking)
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        found.append(f"Opset {opset} is old and will be raised.")
    ops, left = ({node.op_type for node in each.graph.node} for each in (model, clean))
    ops -= _CONTROL - left
    if "ConvTranspose" in ops and not _stays_transposed(clean):
        ops -= {"ConvTranspose"}
    return found + [note for op, note in _NOTES.items() if op in ops]
