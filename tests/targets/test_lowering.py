"""What backends rewrite, they rewrite in files that say nothing of the shapes in between, too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgeanim.targets.lowering import lowered_for_onnxruntime, lowered_for_openvino

BOTH = pytest.mark.parametrize("lowered", [lowered_for_onnxruntime, lowered_for_openvino])


def saved(folder: Path, graph: str) -> Path:
    """A file of a graph in ONNX's own text."""
    path = folder / "g.onnx"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {graph}'), path)
    return path


def ops_of(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("size", "lowered"), [("8,8", lowered_for_onnxruntime), ("4,8,8", lowered_for_openvino)]
)
def test_a_warp_of_what_is_computed_is_lowered(tmp_path: Path, size: str, lowered: Any) -> None:
    axes = len(size.split(","))
    graph = f"""g (float[1,4,{size}] x, float[1,{size},{axes}] g) => (float[1,4,{size}] y) {{
        a = Relu (x)
        t = Tanh (g)
        y = GridSample (a, t)
    }}"""
    ops = Counter(ops_of(lowered(saved(tmp_path, graph))))
    assert ops["GridSample"] == 0
    assert ops["GatherElements"] == 2**axes


@BOTH
def test_a_pad_of_some_axes_pads_all(tmp_path: Path, lowered: Any) -> None:
    """ONNX Runtime trips over the others, where it carries INT8's layout past the pad."""
    graph = """g (float[1,4,8,8] x) => (float[1,4,9,11] y) {
        pads = Constant <value = int64[4] {1,2,0,1}> ()
        axes = Constant <value = int64[2] {2,3}> ()
        y = Pad <mode = "edge"> (x, pads, , axes)
    }"""
    (pad,) = lowered(saved(tmp_path, graph)).graph.node
    assert (pad.op_type, len([name for name in pad.input if name])) == ("Pad", 2)


@BOTH
def test_a_cubic_resize_is_two_products(tmp_path: Path, lowered: Any) -> None:
    graph = """g (float[1,4,8,8] x) => (float[1,4,16,16] y) {
        a = Relu (x)
        factors = Constant <value = float[4] {1,1,2,2}> ()
        y = Resize <mode = "cubic"> (a, , factors)
    }"""
    assert ops_of(lowered(saved(tmp_path, graph))) == ["Relu", "MatMul", "MatMul"]


@BOTH
def test_a_resize_of_some_axes_resizes_all(tmp_path: Path, lowered: Any) -> None:
    """ONNX Runtime trips over the others of these, too."""
    graph = """g (float[1,4,8,8] x) => (float[1,4,16,16] y) {
        factors = Constant <value = float[2] {2,2}> ()
        y = Resize <axes = [2, 3]> (x, , factors)
    }"""
    model = lowered(saved(tmp_path, graph))
    (stored,), (resize,) = model.graph.initializer, model.graph.node
    assert "axes" not in [attribute.name for attribute in resize.attribute]
    assert onnx.numpy_helper.to_array(stored).tolist() == [1, 1, 2, 2]


@BOTH
def test_local_functions_are_written_out(tmp_path: Path, lowered: Any) -> None:
    """OpenVINO cannot tell the shape of what comes out of one."""
    path = tmp_path / "g.onnx"
    text = """<ir_version: 8, opset_import: ["": 18, "local": 1]>
      g (float[1,4,8,8] x) => (float[1,4,8,8] y) { y = local.twice (x) }
      <opset_import: ["": 18], domain: "local"> twice (a) => (b) { b = Add (a, a) }"""
    onnx.save(onnx.parser.parse_model(text), path)
    made = lowered(path)
    assert ops_of(made) == ["Add"]
    assert not made.functions
