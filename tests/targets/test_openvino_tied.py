"""Kernels that are read from both sides: OpenVINO computes with them as ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.graph.reference import Reference, deviation
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from tests.onnx_text import parsed

onnx = pytest.importorskip("onnx")
pytest.importorskip("openvino")

SHAPE = (1, 8, 12, 12)


@pytest.mark.parametrize(
    ("body", "kernel"),
    [
        (
            "h = Conv <pads = [1, 1, 1, 1]> (x, k) \n"
            "y = ConvTranspose <pads = [1, 1, 1, 1]> (h, k)",
            (8, 8, 3, 3),
        ),
        (
            "h = ConvTranspose <pads = [1, 1, 1, 1]> (x, k) \n"
            "a = Relu (h) \n"
            "b = Conv <pads = [1, 1, 1, 1]> (a, same) \n"
            "y = ConvTranspose <pads = [1, 1, 1, 1]> (b, same)",
            (8, 8, 3, 3),
        ),
        ("h = MatMul (x, k) \n t = Transpose (same) \n y = MatMul (h, t)", (12, 12)),
        (
            "f = Reshape (x, rows) \n g = MatMul (f, k) \n h = Gemm <transB = 1> (g, k) \n"
            "y = Reshape (h, shape)",
            (12, 12),
        ),
    ],
)
def test_a_kernel_that_is_read_from_both_sides(
    body: str, kernel: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "tied.onnx"
    path.write_bytes(_model(body, kernel).SerializeToString())
    spec = GraphSpec(
        "tied",
        path.name,
        "frame",
        inputs=(TensorSpec("x", "condition:x", SHAPE),),
        outputs=(TensorSpec("y", "feature:y", SHAPE),),
    )
    backend = get_backend("openvino")
    compiled = backend.compile(GraphArtifact(spec, path), load_board("local"), tmp_path / "out")
    inputs = {"x": np.random.default_rng(1).random(SHAPE, np.float32)}
    session = backend.load(compiled, SessionOptions())
    assert deviation(Reference(path).run(inputs)["y"], session.run(inputs)["y"]) < 1e-5
    session.close()


def _model(body: str, kernel: tuple[int, ...]) -> Any:
    ends = [f"float[{', '.join(map(str, SHAPE))}] {name}" for name in ("x", "y")]
    values = np.random.default_rng(0).normal(0, 0.3, kernel).astype(np.float32)
    stored = {"k": values, "same": values, "rows": np.array([-1, 12]), "shape": np.array(SHAPE)}
    return parsed(f"tied ({ends[0]}) => ({ends[1]}) {{ {body} }}", stored, opset=17)
