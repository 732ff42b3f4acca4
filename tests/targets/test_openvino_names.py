"""Whose tensor is whose in OpenVINO's form of a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board

pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")

SHAPE = (1, 3, 8, 8)


def test_inputs_in_another_order_are_not_exchanged_where_one_is_renamed(tmp_path: Path) -> None:
    """OpenVINO names an input after what a Dropout makes of it."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Dropout", ["second"], ["idle"]),
        helper.make_node("Conv", ["idle", "w"], ["c"]),
        helper.make_node("Sub", ["c", "first"], ["y"]),
    ]
    first, second, made = (
        helper.make_tensor_value_info(name, 1, SHAPE) for name in ("first", "second", "y")
    )
    kernel = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "w")
    graph = helper.make_graph(nodes, "two", [first, second], [made], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "two.onnx"
    onnx.save(model, str(path))
    spec = GraphSpec(
        "two",
        path.name,
        "frame",
        inputs=tuple(TensorSpec(n, f"condition:{n}", SHAPE) for n in ("second", "first")),
        outputs=(TensorSpec("y", "condition:y", SHAPE),),
    )
    backend = get_backend("openvino")
    compiled = backend.compile(GraphArtifact(spec, path), load_board("local"), tmp_path / "out")
    session = backend.load(compiled, SessionOptions())
    one, two = (np.full(SHAPE, value, np.float32) for value in (1.0, 3.0))
    assert session.run({"first": one, "second": two})["y"] == pytest.approx(2.0)
    session.close()
