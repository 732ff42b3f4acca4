"""What the tensors of an ONNX graph hold, from runs of the float graph in ONNX Runtime."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.artifact import Array, GraphArtifact, Samples
from edgeanim.core.packages import require
from edgeanim.graph.queries import makers_of
from edgeanim.graph.reading.read import load_onnx
from edgeanim.quantize.float_session import open_session
from edgeanim.quantize.onnx_nodes import ONNX_GLUE, load_shaped
from edgeanim.quantize.ranges.histogram import Histogram, Histograms
from edgeanim.quantize.runtimes.gates import find_gates

# Quantisers move up through these to where the values come from, or find them gone.
_MOVES = (
    *("Cast", "Dropout", "Identity"),
    *("DepthToSpace", "Pad", "Reshape", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze"),
)
# And these go, or into the convolution above, when a graph is prepared: who gives what they gave is
# called after it.
_FOLDED = ("BatchNormalization", "Dropout", "Identity", "Mul")
_QUANTIZED = ("Conv", *ONNX_GLUE)


def collect_histograms(artifact: GraphArtifact, samples: Samples) -> Histograms:
    """Those of all tensors of `artifact` whose ranges a quantiser may ask for.

    Runs the float graph sample by sample; what is held is one sample's activations and a histogram
    for each tensor.
    """
    require("Finding the ranges of activations", "onnx", "onnxruntime", extra="compress")
    histograms = {name: Histogram() for name in _asked_for(artifact.path)}
    for values in activations(artifact.path, list(histograms), samples):
        for name, array in values.items():
            histograms[name].add(array)
    return histograms


def activations(
    path: Path, names: Sequence[str], samples: Samples
) -> Iterator[Mapping[str, Array]]:
    """Yields for every sample the tensors `names` of the ONNX graph at `path`, by name."""
    import onnx

    model = load_onnx(path)
    inputs = {tensor.name for tensor in model.graph.input}
    given = {tensor.name for tensor in model.graph.output}
    wanted = [name for name in names if name not in inputs]
    added = [onnx.ValueInfoProto(name=name) for name in wanted if name not in given]
    model.graph.output.extend(added)
    session = open_session(model)
    for sample in samples:
        made = session.run(wanted, dict(sample)) if wanted else []  # [] would ask for all
        results: Mapping[str, Array] = dict(zip(wanted, made, strict=True))
        fed = {name: np.asarray(sample[name]) for name in names if name in inputs}
        yield {**fed, **results}


def _asked_for(path: Path) -> list[str]:
    """What goes in or comes out of the nodes that may be quantised, where that comes from, and what
    it may be called once the graph is prepared."""
    model = load_shaped(path)
    graph, gates = model.graph, find_gates(model)
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    floats, folded = _floats(graph) - constants, _folded(graph, constants)
    maker = makers_of(model)
    asked: dict[str, None] = {}
    quantized = [n for n in graph.node if n.op_type in _QUANTIZED or n.name in gates]
    frontier = [name for node in reversed(quantized) for name in (*node.input, *node.output)]
    while frontier:
        name = frontier.pop()
        if name in floats and name not in asked:
            asked[name] = None
            frontier += folded[name]
            if name in maker and maker[name].op_type in _MOVES:
                frontier.append(maker[name].input[0])
    return list(asked)


def _floats(graph: Any) -> set[str]:
    import onnx

    return {
        info.name
        for info in (*graph.input, *graph.value_info, *graph.output)
        if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _folded(graph: Any, constants: Set[str]) -> Mapping[str, list[str]]:
    """By the name of a value, what is made of it by nodes that are folded into others."""
    folded: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        if node.op_type in _FOLDED and (node.op_type != "Mul" or constants & set(node.input)):
            for name in node.input:
                folded[name].append(node.output[0])
    return folded
