"""The reference that every gate of this part compares with: the graph as ONNX Runtime runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeanim.core.artifact import Array
from edgeanim.core.contract import CONDITION, TensorSpec
from edgeanim.core.errors import BadInput, first_line
from edgeanim.core.packages import require
from edgeanim.graph.queries import graph_inputs, shape_of


def seeded_inputs(specs: Sequence[TensorSpec], seed: int = 0) -> dict[str, Array]:
    """One float32 array per input, uniform in its `range` (-1..1 where it has none).

    Each depends on the seed and the input's name alone, so adding an input changes no other.
    """
    inputs = {}
    for spec in specs:
        key = hashlib.sha256(f"{seed}/{spec.name}".encode()).digest()
        low, high = spec.range or (-1.0, 1.0)
        values = np.random.default_rng(list(key)).uniform(low, high, spec.shape)
        inputs[spec.name] = values.astype(np.float32)
    return inputs


def inputs_for(model: Any) -> dict[str, Array]:
    """`seeded_inputs` for a `ModelProto`, whatever its inputs mean."""
    specs = [TensorSpec(v.name, f"{CONDITION}any", shape_of(v) or ()) for v in graph_inputs(model)]
    return seeded_inputs(specs)


class Reference:
    """An ONNX graph in ONNX Runtime: one thread, no graph optimisation, so that nodes keep their
    meaning and the numbers do not depend on the machine's core count.

    `source` is a path, a serialised model, or a `ModelProto`. `BadInput` if the runtime refuses it.
    """

    def __init__(self, source: Any, *, where: object = None) -> None:
        require("Checking a graph's numbers", "onnxruntime", extra="onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        payload: str | bytes
        if isinstance(source, Path):
            where, payload = where or source, str(source)
        elif isinstance(source, bytes):
            payload = source
        else:
            payload = source.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(
                payload, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise BadInput(
                f"ONNX Runtime cannot load this graph: {first_line(error)}", where=where
            ) from error
        self._where = where
        self.output_names = tuple(output.name for output in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; `BadInput` if the runtime refuses a node only now."""
        try:
            values = self._session.run(None, dict(inputs))
        except Exception as error:
            raise BadInput(
                f"ONNX Runtime cannot run this graph: {first_line(error)}", where=self._where
            ) from error
        return dict(zip(self.output_names, values, strict=True))


def deviation(expected: Array, actual: Array) -> float:
    """Largest absolute difference, in units of the largest expected value where that exceeds 1.

    Infinite if the shapes differ or if one is not finite where the other is.
    """
    if expected.shape != actual.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    finite = np.isfinite(expected)
    same_elsewhere = np.array_equal(
        expected[~finite].astype(np.float64), actual[~finite].astype(np.float64), equal_nan=True
    )
    if not same_elsewhere or not np.isfinite(actual[finite]).all():
        return float("inf")
    wide = expected[finite].astype(np.float64)
    if wide.size == 0:
        return 0.0
    difference = np.abs(wide - actual[finite].astype(np.float64)).max()
    return float(difference / max(1.0, float(np.abs(wide).max())))
