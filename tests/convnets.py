"""Convolutional nets of one picture in and one out, for the bundles that are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.contract import GraphSpec, TensorSpec


def picture_spec(name: str, size: int) -> GraphSpec:
    """`picture` to `result`, both [1, 3, size, size] in 0..1."""
    shape = (1, 3, size, size)
    return GraphSpec(
        name,
        f"{name}.onnx",
        "frame",
        inputs=(TensorSpec("picture", "driving_frame", shape, "NCHW", range=(0.0, 1.0)),),
        outputs=(TensorSpec("result", "frame", shape, "NCHW", range=(0.0, 1.0)),),
    )


def save_onnx(
    path: Path, spec: GraphSpec, nodes: Sequence[Any], weights: Mapping[str, np.ndarray]
) -> Path:
    """Write the graph of these nodes, float32 throughout."""
    from onnx import TensorProto, helper, numpy_helper, save

    inputs, outputs = (
        [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.shape) for t in tensors]
        for tensors in (spec.inputs, spec.outputs)
    )
    stored = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()]
    graph = helper.make_graph(list(nodes), spec.name, inputs, outputs, stored)
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path
