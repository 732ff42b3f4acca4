"""Vectors that skip linear layers: OpenVINO's process survives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.onnx_text import parsed

onnx = pytest.importorskip("onnx")
pytest.importorskip("openvino")

PLAY = """
import sys
from pathlib import Path
import numpy as np
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from edgeanim.graph.reference import Reference, deviation

path = Path(sys.argv[1])
ends = [TensorSpec(name, f"feature:{name}", (1, 10)) for name in "aby"]
spec = GraphSpec("skips", path.name, "frame", tuple(ends[:2]), (ends[2],))
backend = get_backend("openvino")
graph = backend.compile(GraphArtifact(spec, path), load_board("local"), path.with_name("out"))
inputs = {name: np.linspace(-1, 1, 10, dtype=np.float32)[None] for name in "ab"}
found = backend.load(graph, SessionOptions(threads=1)).run(inputs)["y"]
assert deviation(Reference(path).run(inputs)["y"], found) < 1e-5
"""
LAYERS = "h = Gemm <transB = 1> (c, w0, b0) \n r = Relu (h) \n e = Gemm <transB = 1> (r, w1, b1)"


@pytest.mark.parametrize(
    ("reads", "size"), [("c = Identity (s)", 10), ("c = Concat <axis = 1> (a, s)", 20)]
)
@pytest.mark.parametrize("join", ["y = Add (s, e)", "k = Mul (e, small) \n y = Add (s, k)"])
def test_what_skips_linear_layers_ends_no_process(
    reads: str, size: int, join: str, tmp_path: Path
) -> None:
    """As the net does that corrects a motion; in a process of its own, which it did end."""
    body = f"s = Sub (a, b) \n {reads} \n {LAYERS} \n {join}"
    rng = np.random.default_rng(0)
    shapes = {"w0": (64, size), "b0": (64,), "w1": (10, 64), "b1": (10,)}
    weights = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    stored = {n: v.astype(np.float32) for n, v in {**weights, "small": np.array(0.01)}.items()}
    graph = f"skips (float[1,10] a, float[1,10] b) => (float[1,10] y) {{ {body} }}"
    path = tmp_path / "skips.onnx"
    onnx.save(parsed(graph, stored), path)
    subprocess.run([sys.executable, "-c", PLAY, str(path)], check=True, timeout=120)
