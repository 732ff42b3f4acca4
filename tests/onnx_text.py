"""Graphs in ONNX's own text, and the weights that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def parsed(
    graph: str,
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 18,
    spread: float = 0.3,
    seed: int = 0,
) -> Any:
    """The `ModelProto` of `name (inputs) => (outputs) { body }`. Weights are arrays, or shapes to
    fill with random numbers of this `spread`."""
    import onnx

    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {graph}')
    rng = np.random.default_rng(seed)
    for name, value in (weights or {}).items():
        if isinstance(value, tuple):
            value = rng.normal(0, spread, value).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return model
