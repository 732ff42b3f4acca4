"""What OpenVINO leaves behind in a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import open_bundle

pytest.importorskip("openvino")

SCRIPT = """
import gc, os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # under nohup it would be ignored
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.bundle import open_bundle

with open_bundle(Path(sys.argv[1])) as bundle:
    (graph,) = next(v for v in bundle.variants if v.backend == "openvino").graphs
    sessions = [get_backend("openvino").load(graph, SessionOptions()) for _ in range(2)]
    while sessions:
        sessions.pop(0).close()
        gc.collect()
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_a_signal_still_arrives_when_sessions_were_closed() -> None:
    """In a process of its own, which a failure ends."""
    bundle = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, bundle],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_graph_runs_on_as_many_threads_as_it_is_told_to(threads: int) -> None:
    bundle = Path(__file__).parents[1] / "benchmarks" / "small.eab"
    with open_bundle(bundle) as opened:
        (graph,) = next(v for v in opened.variants if v.backend == "openvino").graphs
        session: Any = get_backend("openvino").load(graph, SessionOptions(threads=threads))
        assert session._model.get_property("INFERENCE_NUM_THREADS") == threads
        session.close()


def test_a_graph_without_weights_is_compiled(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shape = (1, 3, 8, 8)
    ends = [onnx.helper.make_tensor_value_info(name, 1, shape) for name in ("x", "y")]
    relu = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([relu], "bare", ends[:1], ends[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "bare.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    inputs, outputs = (TensorSpec("x", "condition:x", shape),), (TensorSpec("y", "frame", shape),)
    spec = GraphSpec("bare", path.name, "frame", inputs=inputs, outputs=outputs)
    backend = get_backend("openvino")
    compiled = backend.compile(GraphArtifact(spec, path), load_board("local"), tmp_path / "out")
    session = backend.load(compiled, SessionOptions())
    assert session.run({"x": -np.ones(shape, np.float32)})["y"].max() == 0
    session.close()


UNPOOLED = """
    p, places = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)
    y = MaxUnpool <kernel_shape = [2,2], strides = [2,2]> (p, places)
"""
CROPPED = """
    r = Relu (x)
    y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize">
        (r, region, once)
"""


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (UNPOOLED, r"does not know the op MaxUnpool of node 'up'\."),
        (CROPPED, r"the op Resize of node 'up': tf_crop_and_resize - .*, half_pixel\."),
    ],
    ids=["unknown", "in a form that it has not"],
)
def test_an_op_that_openvino_has_not_is_named_with_its_node(
    steps: str, told: str, tmp_path: Path
) -> None:
    """Its own error named it in the last lines of many, of which one is shown."""
    import onnx

    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,3,8,8] x) => (float[1,3,8,8] y)
        <float[8] region = {{0,0,0,0,1,1,0.5,0.5}}, float[4] once = {{1,1,1,1}}>
        {{ {steps} }}""")
    model.graph.node[1].name = "up"
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    ends = [TensorSpec(name, "condition:any", (1, 3, 8, 8), "NCHW") for name in "xy"]
    source = GraphArtifact(GraphSpec("net", path.name, "frame", (ends[0],), (ends[1],)), path)
    with pytest.raises(BadInput, match=f"{told}.*--backend") as refused:
        get_backend("openvino").compile(source, load_board("x86-vnni"), tmp_path)
    assert refused.value.where == str(path)
