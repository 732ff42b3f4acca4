"""Every kind of layer that may lose channels loses them in the ONNX graph that it lies in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.inspect import inspect_graph
from edgeanim.quantize.calibration import ArraySamples
from edgeanim.quantize.pruning.layer_times import measure_layers
from edgeanim.quantize.pruning.macs import count_macs
from edgeanim.quantize.pruning.prune import convolutions_of
from edgeanim.quantize.pruning.pruned import import_graph
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import Board
from tests.convnets import save_onnx
from tests.quantize.prune_one import prune_graph

SPEC = PruneSpec(ratio=0.5, of="channels", importance="magnitude", round_to=4, rounds=1, steps=0)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> GraphArtifact:
    """A picture through a PReLU, resizes to sizes, an instance norm without weights, a batch norm
    that no convolution can take in, and, behind a skip, a depthwise and a transposed one."""
    rng = np.random.default_rng(0)
    weights = {
        "stem.w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "slope": rng.uniform(0, 1, (16, 1, 1)),
        "ones": np.ones(16),
        "zeros": np.zeros(16),
        "middle.w": rng.normal(0, 0.3, (8, 16, 3, 3)),
        "each.w": rng.normal(0, 0.5, (24, 1, 3, 3)),
        "each.b": rng.normal(0, 0.5, 24),
        "up.w": rng.normal(0, 0.3, (24, 8, 4, 4)),
        "bn.scale": rng.uniform(0.5, 2, 8),
        "bn.bias": rng.normal(0, 1, 8),
        "bn.mean": rng.normal(0, 1, 8),
        "bn.var": rng.uniform(0.5, 2, 8),
        "head.w": rng.normal(0, 0.3, (3, 8, 3, 3)),
    }
    stored = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    sizes = {"smaller": [1, 16, 12, 12], "larger": [1, 16, 18, 18]}
    stored += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in sizes.items()]
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        helper.make_node("Conv", ["image", "stem.w"], ["a"], "stem", pads=[1] * 4),
        helper.make_node("PRelu", ["a", "slope"], ["b"], "prelu"),
        helper.make_node("Resize", ["b", "", "", "smaller"], ["c"], "smaller", **linear),
        helper.make_node("Abs", ["c"], ["d"], "abs"),
        helper.make_node("Resize", ["d", "", "", "larger"], ["e"], "larger", **linear),
        helper.make_node("InstanceNormalization", ["e", "ones", "zeros"], ["g"], "norm"),
        helper.make_node("Conv", ["g", "middle.w"], ["h"], "middle", pads=[1] * 4),
        helper.make_node("Relu", ["h"], ["i"], "relu"),
        helper.make_node(
            "BatchNormalization", ["i", "bn.scale", "bn.bias", "bn.mean", "bn.var"], ["j"], "bn"
        ),
        helper.make_node("Concat", ["j", "e"], ["k"], "skip", axis=1),
        helper.make_node("Conv", ["k", "each.w", "each.b"], ["l"], "each", group=24, pads=[1] * 4),
        helper.make_node("Relu", ["l"], ["m"], "relu.2"),
        helper.make_node("ConvTranspose", ["m", "up.w"], ["n"], "up", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Sigmoid", ["n"], ["o"], "squash"),
        helper.make_node("Conv", ["o", "head.w"], ["result"], "head", pads=[1] * 4),
    ]
    shapes = {"image": (1, 3, 24, 24), "result": (1, 3, 36, 36)}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    graph = helper.make_graph(nodes, "mixed", ends[:1], ends[1:], stored)
    path = tmp_path_factory.mktemp("mixed") / "mixed.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    image = TensorSpec("image", "driving_frame", shapes["image"], "NCHW", range=(0, 1))
    result = TensorSpec("result", "frame", shapes["result"], "NCHW", range=(-9, 9))
    spec = GraphSpec("mixed", "mixed.onnx", "frame", (image,), (result,))
    return GraphArtifact(spec, path)


@pytest.fixture(scope="module")
def pictures() -> ArraySamples:
    noise = np.random.default_rng(1).uniform(size=(8, 1, 3, 24, 24))
    return ArraySamples({"image": noise.astype(np.float32)})


@pytest.fixture(scope="module")
def pruned(
    tmp_path_factory: pytest.TempPathFactory, mixed: GraphArtifact, pictures: ArraySamples
) -> GraphArtifact:
    return prune_graph(mixed, pictures, SPEC, tmp_path_factory.mktemp("pruned"))


def test_weights_shrink_together(pruned: GraphArtifact) -> None:
    graph = onnx.load(str(pruned.path)).graph
    shapes = {t.name: tuple(t.dims) for t in graph.initializer}
    nodes = {node.name: node for node in graph.node}
    found = {
        name: [shapes[i] for i in nodes[name].input[1:] if i]
        for name in ("stem", "prelu", "norm", "middle", "bn", "each", "up", "head")
    }
    assert found["stem"][0] == (8, 3, 3, 3)
    assert found["prelu"] == [(8, 1, 1)]
    assert found["norm"] == [(8,), (8,)]
    assert found["middle"][0] == (4, 8, 3, 3)
    assert found["bn"] == [(4,)] * 4
    assert found["each"] == [(12, 1, 3, 3), (12,)]
    assert found["up"][0] == (12, 4, 4, 4)
    assert found["head"][0] == (3, 4, 3, 3)
    (group,) = (a.i for a in nodes["each"].attribute if a.name == "group")
    assert group == 12


def test_every_kind_of_layer_makes_up_for_what_it_read(
    mixed: GraphArtifact, pictures: ArraySamples, tmp_path: Path
) -> None:
    spec = replace(SPEC, ratio=0.3, of="macs", importance="reconstruction")
    made = prune_graph(mixed, pictures, spec, tmp_path)
    assert inspect_graph(made).macs <= 0.7 * inspect_graph(mixed).macs


def test_channels_that_hold_nothing_go_first(pictures: ArraySamples, tmp_path: Path) -> None:
    """As a branch does that begins at zero: its share of nothing is a number, too."""
    rng = np.random.default_rng(0)
    weights = {
        "stem.w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "middle.w": rng.normal(0, 0.3, (16, 16, 3, 3)),
        "in.w": np.zeros((16, 16, 3, 3)),
        "out.w": np.zeros((16, 16, 3, 3)),
        "head.w": rng.normal(0, 0.3, (3, 16, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem.w"], ["s"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["s"], ["t"], "bend"),
        helper.make_node("Conv", ["t", "middle.w"], ["a"], "middle", pads=[1] * 4),
        helper.make_node("Conv", ["a", "in.w"], ["b"], "in", pads=[1] * 4),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("Conv", ["c", "out.w"], ["d"], "out", pads=[1] * 4),
        helper.make_node("Add", ["a", "d"], ["e"], "sum"),
        helper.make_node("Conv", ["e", "head.w"], ["result"], "head", pads=[1] * 4),
    ]
    spec = GraphSpec(
        "branch", "branch.onnx", "frame",
        (TensorSpec("image", "driving_frame", (1, 3, 24, 24), "NCHW", range=(0.0, 1.0)),),
        (TensorSpec("result", "frame", (1, 3, 24, 24), "NCHW", range=(0.0, 1.0)),),
    )  # fmt: skip
    path = save_onnx(tmp_path / "branch.onnx", spec, nodes, weights)
    asked = replace(SPEC, ratio=0.25, of="macs")
    pruned = prune_graph(GraphArtifact(spec, path), pictures, asked, tmp_path)
    left = onnx.load(str(pruned.path)).graph
    shapes = {t.name: tuple(t.dims) for t in left.initializer}
    found = {node.name: shapes[node.input[1]] for node in left.node if node.op_type == "Conv"}
    assert found["stem"] == (16, 3, 3, 3)
    assert found["middle"] == (16, 16, 3, 3)
    assert found["in"][0] == found["out"][1] < 16


def test_a_transposed_convolution_in_groups_is_counted_and_stays(
    pictures: ArraySamples, tmp_path: Path
) -> None:
    """As an inverse wavelet transform is, which gives the picture. What it takes is scaled by a
    stored tensor of five axes."""
    rng = np.random.default_rng(0)
    weights = {
        "stem.w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "inner.w": rng.normal(0, 0.2, (12, 16, 3, 3)),
        "wave.w": rng.normal(0, 0.5, (12, 1, 2, 2)),
        "bands": rng.uniform(0.5, 2, (1, 3, 4, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem.w"], ["a"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "inner.w"], ["c"], "inner", pads=[1] * 4),
        helper.make_node("Reshape", ["c", "apart"], ["d"], "apart.r"),
        helper.make_node("Mul", ["d", "bands"], ["e"], "scale"),
        helper.make_node("Reshape", ["e", "joined"], ["f"], "joined.r"),
        helper.make_node("ConvTranspose", ["f", "wave.w"], ["result"], "wave", group=3,
                         strides=[2, 2]),
    ]  # fmt: skip
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, side, side))
        for name, side in (("image", 24), ("result", 48))
    ]
    stored = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    shapes = {"apart": [1, 3, 4, 24, 24], "joined": [1, 12, 24, 24]}
    stored += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in shapes.items()]
    graph = helper.make_graph(nodes, "waves", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "waves.onnx"
    onnx.save(model, str(path))
    spec = GraphSpec(
        "waves", path.name, "frame",
        (TensorSpec("image", "driving_frame", (1, 3, 24, 24), "NCHW", range=(0.0, 1.0)),),
        (TensorSpec("result", "frame", (1, 3, 48, 48), "NCHW", range=(0.0, 1.0)),),
    )  # fmt: skip
    waves = GraphArtifact(spec, path)
    spec_of_prune = replace(SPEC, ratio=0.3, of="macs", importance="reconstruction", steps=2)
    made = prune_graph(waves, pictures, spec_of_prune, tmp_path)
    assert inspect_graph(made).macs <= 0.75 * inspect_graph(waves).macs
    nodes_made = onnx.load(str(made.path)).graph
    dims = {tensor.name: list(tensor.dims) for tensor in nodes_made.initializer}
    (wave,) = (node for node in nodes_made.node if node.op_type == "ConvTranspose")
    assert dims[wave.input[1]] == [12, 1, 2, 2]


def test_layers_that_share_their_numbers_lose_channels(
    pictures: ArraySamples, tmp_path: Path
) -> None:
    """PyTorch's exporter stores equal values once, as all scales and biases of a net are at first:
    none of the channels that these tied could go."""
    rng = np.random.default_rng(0)
    stored = {"ones": np.ones((1, 16, 1, 1)), "zeros": np.zeros((1, 16, 1, 1))}
    nodes, x = [], "image"
    for index, width in enumerate((3, 16, 16)):
        stored[f"w{index}"] = rng.normal(0, 0.2, (16, width, 3, 3))
        nodes += [
            helper.make_node("Conv", [x, f"w{index}"], [f"c{index}"], pads=[1] * 4),
            helper.make_node("LeakyRelu", [f"c{index}"], [f"l{index}"]),
            helper.make_node("Mul", [f"l{index}", "ones"], [f"s{index}"]),
            helper.make_node("Add", [f"s{index}", "zeros"], [f"a{index}"]),
        ]
        x = f"a{index}"
    stored["head"] = rng.normal(0, 0.2, (3, 16, 3, 3))
    nodes.append(helper.make_node("Conv", [x, "head"], ["result"], pads=[1] * 4))
    shared = _picture_net(nodes, stored, tmp_path)
    spec = replace(SPEC, ratio=0.5, of="macs", importance="reconstruction")
    made = prune_graph(shared, pictures, spec, tmp_path)
    assert 0.35 < inspect_graph(made).macs / inspect_graph(shared).macs <= 0.5


def test_the_nodes_are_those_that_it_had(mixed: GraphArtifact, pruned: GraphArtifact) -> None:
    """Whoever keeps a node in float by its name may go on doing so."""
    before, after = (
        [node.name for node in onnx.load(str(graph.path)).graph.node] for graph in (mixed, pruned)
    )
    assert after == before


def test_it_runs_and_gives_what_it_gave_in_shape(pruned: GraphArtifact) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pruned.path), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"image": np.zeros((1, 3, 24, 24), np.float32)})
    assert made.shape == (1, 3, 36, 36)


def test_multiply_accumulates_are_those_of_the_onnx_graph(mixed: GraphArtifact) -> None:
    imported = import_graph(mixed.path)
    assert count_macs(imported.module, imported.example()) == inspect_graph(mixed).macs


def test_each_kind_of_convolution_is_timed_as_it_is(mixed: GraphArtifact, board: Board) -> None:
    shapes = convolutions_of(mixed)
    kinds = {name: shape.kind for name, shape in shapes.items()}
    assert kinds["up"] == "transposed"
    assert kinds["each"] == "grouped"
    assert {kinds[name] for name in ("stem", "middle", "head")} == {"plain"}
    assert (shapes["each"].size, shapes["each"].output_size) == ((18, 18), (18, 18))
    assert (shapes["up"].size, shapes["up"].output_size) == ((18, 18), (36, 36))
    times = measure_layers(shapes, get_backend("onnxruntime"), board, SessionOptions())
    for name in shapes:
        layer = times.of(name)
        assert layer.cost(layer.inputs, layer.outputs) > 0


def _picture_net(
    nodes: list[onnx.NodeProto], stored: Mapping[str, Any], folder: Path
) -> GraphArtifact:
    """A graph [1, 3, 24, 24] -> [1, 3, 24, 24] of float weights, written into `folder`."""
    shape = (1, 3, 24, 24)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("image", "result")]
    weights = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in stored.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    path = folder / "net.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    image = TensorSpec("image", "driving_frame", shape, "NCHW", range=(0, 1))
    result = TensorSpec("result", "frame", shape, "NCHW", range=(-9, 9))
    return GraphArtifact(GraphSpec("net", path.name, "frame", (image,), (result,)), path)
