"""What backends rewrite, they rewrite in files that say nothing of the shapes in between, too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeanim.targets.lowering import lowered_for_onnxruntime, lowered_for_openvino


def saved(folder: Path, nodes: list[Any], ends: dict[str, tuple[int, ...]]) -> Path:
    """A file of these nodes, of which the last one gives the last of the `ends`."""
    *given, made = (helper.make_tensor_value_info(name, 1, shape) for name, shape in ends.items())
    graph = helper.make_graph(nodes, "g", given, [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path = folder / "g.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("size", "lowered"), [((8, 8), lowered_for_onnxruntime), ((4, 8, 8), lowered_for_openvino)]
)
def test_a_warp_of_what_is_computed_is_lowered(
    tmp_path: Path, size: tuple[int, ...], lowered: Any
) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Tanh", ["g"], ["t"]),
        helper.make_node("GridSample", ["a", "t"], ["y"]),
    ]
    ends = {"x": (1, 4, *size), "g": (1, *size, len(size)), "y": (1, 4, *size)}
    ops = Counter(node.op_type for node in lowered(saved(tmp_path, nodes, ends)).graph.node)
    assert ops["GridSample"] == 0
    assert ops["GatherElements"] == 2 ** len(size)


def test_a_pad_of_some_axes_pads_all(tmp_path: Path) -> None:
    """ONNX Runtime trips over the others, where it carries INT8's layout past the pad."""
    stored = {"pads": np.array([1, 2, 0, 1]), "axes": np.array([2, 3])}
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in stored.items()
    ]
    nodes.append(helper.make_node("Pad", ["x", "pads", "", "axes"], ["y"], mode="edge"))
    path = saved(tmp_path, nodes, {"x": (1, 4, 8, 8), "y": (1, 4, 9, 11)})
    for lowered in (lowered_for_onnxruntime, lowered_for_openvino):
        (pad,) = lowered(path).graph.node
        assert (pad.op_type, len([name for name in pad.input if name])) == ("Pad", 2)


def test_a_cubic_resize_is_two_products(tmp_path: Path) -> None:
    factors = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32))
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Constant", [], ["factors"], value=factors),
        helper.make_node("Resize", ["a", "", "factors"], ["y"], mode="cubic"),
    ]
    path = saved(tmp_path, nodes, {"x": (1, 4, 8, 8), "y": (1, 4, 16, 16)})
    for lowered in (lowered_for_onnxruntime, lowered_for_openvino):
        assert [node.op_type for node in lowered(path).graph.node] == ["Relu", "MatMul", "MatMul"]


def test_a_resize_of_some_axes_resizes_all(tmp_path: Path) -> None:
    """ONNX Runtime trips over the others of these, too."""
    factors = numpy_helper.from_array(np.array([2, 2], np.float32))
    nodes = [
        helper.make_node("Constant", [], ["factors"], value=factors),
        helper.make_node("Resize", ["x", "", "factors"], ["y"], axes=[2, 3]),
    ]
    path = saved(tmp_path, nodes, {"x": (1, 4, 8, 8), "y": (1, 4, 16, 16)})
    for lowered in (lowered_for_onnxruntime, lowered_for_openvino):
        model = lowered(path)
        (stored,), (resize,) = model.graph.initializer, model.graph.node
        assert "axes" not in [attribute.name for attribute in resize.attribute]
        assert numpy_helper.to_array(stored).tolist() == [1, 1, 2, 2]
