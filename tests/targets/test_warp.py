"""The warp never falls into a slow decomposition, and is right on every backend."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput
from edgeanim.targets.backends import SessionOptions, backend_names, get_backend
from edgeanim.targets.board import load_board

SIZE = 32
# The inputs are in another order than in the file, as a model.toml may have them.
SPEC = GraphSpec(
    "warp",
    "warp.onnx",
    "frame",
    inputs=(
        TensorSpec("grid", "condition:grid", (1, SIZE, SIZE, 2)),
        TensorSpec("still", "still", (1, 3, SIZE, SIZE), "NCHW", range=(0.0, 1.0)),
    ),
    outputs=(
        TensorSpec("frame", "frame", (1, 3, SIZE, SIZE), "NCHW", range=(0.0, 1.0)),
        TensorSpec("mean", "feature:mean", (1, 1, SIZE, SIZE), "NCHW"),
    ),
)
LOOKUPS = ("Gather", "GatherElements", "GATHER", "GATHER_ND", "EMBEDDING_LOOKUP", "embedding")
COMPUTES = [name for name in backend_names() if get_backend(name).extra]


@pytest.fixture(scope="module")
def warp_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from onnx import helper, save

    def value(name: str, shape: tuple[int, ...]) -> object:
        return helper.make_tensor_value_info(name, 1, shape)

    nodes = [
        helper.make_node(
            "GridSample",
            ["still", "grid"],
            ["frame"],
            "warp",
            mode="bilinear",
            padding_mode="border",
            align_corners=0,
        ),
        helper.make_node("ReduceMean", ["frame"], ["mean"], "mean", axes=[1], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "warp",
        [value(t.name, t.shape) for t in reversed(SPEC.inputs)],
        [value(t.name, t.shape) for t in reversed(SPEC.outputs)],
    )
    path = tmp_path_factory.mktemp("warp") / "warp.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, str(path))
    return path


def to_layout(array: Array, tensor: TensorSpec, back: bool = False) -> Array:
    if tensor.layout != "NHWC":
        return array
    return np.ascontiguousarray(array.transpose((0, 3, 1, 2) if back else (0, 2, 3, 1)))


@pytest.mark.parametrize("name", COMPUTES)
def test_it_agrees_with_the_reference_and_stays_short(
    name: str, warp_onnx: Path, tmp_path: Path
) -> None:
    import onnxruntime

    rng = np.random.default_rng(0)
    feed = {
        "still": rng.random((1, 3, SIZE, SIZE), dtype=np.float32),
        # Beyond the border in places, as a real flow is.
        "grid": rng.uniform(-1.3, 1.3, (1, SIZE, SIZE, 2)).astype(np.float32),
    }
    original = onnxruntime.InferenceSession(str(warp_onnx), providers=["CPUExecutionProvider"])
    mean, frame = original.run(None, feed)
    backend = get_backend(name)
    graph = backend.compile(GraphArtifact(SPEC, warp_onnx), load_board("local"), tmp_path)
    session = backend.load(graph, SessionOptions(profile=True))
    outputs = session.run({t.name: to_layout(feed[t.name], t) for t in graph.spec.inputs})
    for tensor, expected in zip(graph.spec.outputs, (frame, mean), strict=True):
        got = to_layout(outputs[tensor.name], tensor, back=True)
        assert np.abs(got - expected).max() <= 1e-4
    counts: Counter[str] = Counter()
    for row in backend.executed_precision(session).ops:
        counts[row.op] += row.count
    if name == "openvino":
        assert counts["GridSample"] == 1
    else:
        # One lookup of whole pixels for each of the four neighbours, and no warp op left.
        assert counts["GridSample"] == 0
        assert sum(counts[op] for op in LOOKUPS) == 4, counts


@pytest.mark.parametrize("name", COMPUTES)
def test_volumes_are_warped_too(name: str, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    text = """<ir_version: 8, opset_import: ["" : 20]>
        g (float[1,4,3,8,8] volume, float[1,3,8,8,3] grid) => (float[1,12,8,8] y)
        <int64[4] shape = {1, 12, 8, 8}>
        { w = GridSample <align_corners=1> (volume, grid) y = Reshape (w, shape) }"""
    path = tmp_path / "warp.onnx"
    onnx.save(onnx.parser.parse_model(text), str(path))
    spec = GraphSpec(
        "warp",
        path.name,
        "frame",
        inputs=(
            TensorSpec("volume", "condition:volume", (1, 4, 3, 8, 8)),
            TensorSpec("grid", "condition:grid", (1, 3, 8, 8, 3)),
        ),
        outputs=(TensorSpec("y", "feature:y", (1, 12, 8, 8), "NCHW"),),
    )
    rng = np.random.default_rng(0)
    feed = {t.name: rng.uniform(-1.3, 1.3, t.shape).astype(np.float32) for t in spec.inputs}
    original = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = original.run(None, feed)
    backend = get_backend(name)
    graph = backend.compile(GraphArtifact(spec, path), load_board("local"), tmp_path)
    outputs = backend.load(graph, SessionOptions()).run(feed)
    assert np.abs(to_layout(outputs["y"], graph.spec.outputs[0], back=True) - expected).max() < 1e-4


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Of NaN, Arm makes the place 0.")
def test_a_grid_that_is_nan_is_told(warp_onnx: Path, tmp_path: Path) -> None:
    """A thin-plate spline has one, once an exporter takes the 1e-9 beside a distance for zero."""
    backend = get_backend("onnxruntime")
    graph = backend.compile(GraphArtifact(SPEC, warp_onnx), load_board("local"), tmp_path)
    session = backend.load(graph, SessionOptions())
    grid = np.full((1, SIZE, SIZE, 2), np.nan, np.float32)
    still = np.zeros((1, 3, SIZE, SIZE), np.float32)
    with pytest.raises(BadInput, match=r"positions that are NaN.*edgeanim export"):
        session.run({"grid": grid, "still": still})
