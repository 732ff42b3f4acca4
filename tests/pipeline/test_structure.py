"""A float graph is restructured on its way to a backend, and only if its numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeanim.core.errors import GateFailed
from edgeanim.core.store import Store
from edgeanim.graph.load import Model, load_model
from edgeanim.graph.restructure import Restructured
from edgeanim.graph.rewrites import upsampled
from edgeanim.pipeline.structure import restructured, restructured_model
from edgeanim.pipeline.variants import make_variant
from edgeanim.pipeline.work import Work


@pytest.fixture
def upsampling(tmp_path: Path) -> Model:
    """[1, 3, 16, 16] in 0..1 to a picture of twice the size."""
    weight = np.random.default_rng(0).normal(0, 0.2, (3, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Resize", ["image", "", "twice"], ["up"], "up", mode="nearest"),
        helper.make_node("Conv", ["up", "w"], ["conv"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["conv"], ["result"], "end"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, size, size])
        for name, size in (("image", 16), ("result", 32))
    ]
    weights = [
        numpy_helper.from_array(weight, "w"),
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "up.onnx"
    onnx.save(made, str(path))
    return load_model(path)


def test_channels_are_packed_for_as_many_lanes_as_a_backend_fills_at_once(
    upsampling: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def seen(model: Any, *, lanes: int) -> Restructured:
        asked.append(lanes)
        return Restructured(model, {})

    monkeypatch.setattr("edgeanim.graph.restructure.restructure", seen)
    work = Work.on("local", store=Store(tmp_path))
    for backend in ("onnxruntime", "tflite"):
        restructured(work, upsampling.graphs[0], backend)
    assert asked == [work.board.channel_unit, 2 * work.board.channel_unit]


def test_what_is_compiled_is_restructured(upsampling: Model) -> None:
    work = Work.on("local")
    variant = make_variant(work, "onnxruntime", upsampling.graphs)
    ops = {node.op_type for node in onnx.load(str(variant.graphs[0].files[0])).graph.node}
    assert "Resize" not in ops
    assert variant.graphs[0].spec == upsampling.graphs[0].spec
    model = restructured_model(work, upsampling, "onnxruntime")
    assert model.digest == upsampling.digest
    assert restructured_model(work, model, "onnxruntime").graphs == model.graphs, "once is enough"


def test_a_graph_without_anything_to_gain_stays_itself(tiny_onnx: Callable[..., Path]) -> None:
    graph = load_model(tiny_onnx(16, 8)).graphs[0]
    assert restructured(Work.on("local"), graph, "onnxruntime") is graph


def test_a_rewrite_that_changes_the_numbers_is_caught(
    upsampling: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = upsampled.upsampled_kernel
    monkeypatch.setattr(upsampled, "upsampled_kernel", lambda *args: right(*args) * 1.1)
    with pytest.raises(GateFailed, match="differs by"):
        restructured(Work.on("local"), upsampling.graphs[0], "onnxruntime")


def test_a_rewrite_that_no_longer_runs_is_caught(
    upsampling: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = upsampled.upsampled_kernel
    monkeypatch.setattr(upsampled, "upsampled_kernel", lambda *args: right(*args)[:, :2])
    with pytest.raises(GateFailed, match="does not run: ONNX Runtime cannot"):
        restructured(Work.on("local"), upsampling.graphs[0], "onnxruntime")
