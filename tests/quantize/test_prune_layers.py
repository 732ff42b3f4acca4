"""Every kind of layer that may lose channels loses them in the ONNX graph that it lies in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.recipe import PruneSpec
from edgeanim.graph.inspect import inspect_graph
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.pruning.layer_times import measure_layers
from edgeanim.quantize.pruning.macs import count_macs
from edgeanim.quantize.pruning.prune import convolutions_of
from edgeanim.quantize.pruning.pruned import import_graph
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import Board
from tests.onnx_text import parsed
from tests.quantize.prune_one import prune_graph

SPEC = PruneSpec(ratio=0.5, of="channels", importance="magnitude", round_to=4, rounds=1, steps=0)


def picture_net(
    folder: Path,
    body: str,
    weights: Mapping[str, Any],
    *,
    sizes: str = "",
    side: int = 24,
    values: tuple[float, float] = (0.0, 1.0),
) -> GraphArtifact:
    """A graph from `image` [1, 3, 24, 24] to `result` [1, 3, side, side], in ONNX's own text;
    `sizes` are its constants, and `values` the interval of the result."""
    made = f"float[1,3,{side},{side}] result"
    model = parsed(
        f"net (float[1,3,24,24] image) => ({made}) <{sizes}> {{ {body} }}",
        {name: value.astype(np.float32) for name, value in weights.items()},
        opset=17,
    )
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    image = TensorSpec("image", "driving_frame", (1, 3, 24, 24), "NCHW", range=(0.0, 1.0))
    result = TensorSpec("result", "frame", (1, 3, side, side), "NCHW", range=values)
    return GraphArtifact(GraphSpec("net", path.name, "frame", (image,), (result,)), path)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> GraphArtifact:
    """A picture through a PReLU, resizes to sizes, an instance norm without weights, a batch norm
    that no convolution can take in, and, behind a skip, a depthwise and a transposed one."""
    rng = np.random.default_rng(0)
    weights = {
        "stem_w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "slope": rng.uniform(0, 1, (16, 1, 1)),
        "ones": np.ones(16),
        "zeros": np.zeros(16),
        "middle_w": rng.normal(0, 0.3, (8, 16, 3, 3)),
        "each_w": rng.normal(0, 0.5, (24, 1, 3, 3)),
        "each_b": rng.normal(0, 0.5, 24),
        "up_w": rng.normal(0, 0.3, (24, 8, 4, 4)),
        "scale": rng.uniform(0.5, 2, 8),
        "bias": rng.normal(0, 1, 8),
        "mean": rng.normal(0, 1, 8),
        "var": rng.uniform(0.5, 2, 8),
        "head_w": rng.normal(0, 0.3, (3, 8, 3, 3)),
    }
    linear = 'mode="linear", coordinate_transformation_mode="half_pixel"'
    return picture_net(
        tmp_path_factory.mktemp("mixed"),
        f"""[stem] a = Conv <pads=[1,1,1,1]> (image, stem_w)
            [prelu] b = PRelu (a, slope)
            [smaller] c = Resize <{linear}> (b, , , small)
            [abs] d = Abs (c)
            [larger] e = Resize <{linear}> (d, , , large)
            [norm] g = InstanceNormalization (e, ones, zeros)
            [middle] h = Conv <pads=[1,1,1,1]> (g, middle_w)
            [relu] i = Relu (h)
            [bn] j = BatchNormalization (i, scale, bias, mean, var)
            [skip] k = Concat <axis=1> (j, e)
            [each] l = Conv <group=24, pads=[1,1,1,1]> (k, each_w, each_b)
            [relu_2] m = Relu (l)
            [up] n = ConvTranspose <strides=[2,2], pads=[1,1,1,1]> (m, up_w)
            [squash] o = Sigmoid (n)
            [head] result = Conv <pads=[1,1,1,1]> (o, head_w)""",
        weights,
        sizes="int64[4] small = {1,16,12,12}, int64[4] large = {1,16,18,18}",
        side=36,
        values=(-9.0, 9.0),
    )


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
        "stem_w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "middle_w": rng.normal(0, 0.3, (16, 16, 3, 3)),
        "in_w": np.zeros((16, 16, 3, 3)),
        "out_w": np.zeros((16, 16, 3, 3)),
        "head_w": rng.normal(0, 0.3, (3, 16, 3, 3)),
    }
    branch = picture_net(
        tmp_path,
        """[stem] s = Conv <pads=[1,1,1,1]> (image, stem_w)
           [bend] t = Relu (s)
           [middle] a = Conv <pads=[1,1,1,1]> (t, middle_w)
           [in] b = Conv <pads=[1,1,1,1]> (a, in_w)
           [relu] c = Relu (b)
           [out] d = Conv <pads=[1,1,1,1]> (c, out_w)
           [sum] e = Add (a, d)
           [head] result = Conv <pads=[1,1,1,1]> (e, head_w)""",
        weights,
    )
    asked = replace(SPEC, ratio=0.25, of="macs")
    pruned = prune_graph(branch, pictures, asked, tmp_path)
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
        "stem_w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "inner_w": rng.normal(0, 0.2, (12, 16, 3, 3)),
        "wave_w": rng.normal(0, 0.5, (12, 1, 2, 2)),
        "bands": rng.uniform(0.5, 2, (1, 3, 4, 1, 1)),
    }
    waves = picture_net(
        tmp_path,
        """a = Conv <pads=[1,1,1,1]> (image, stem_w)
           b = Relu (a)
           c = Conv <pads=[1,1,1,1]> (b, inner_w)
           d = Reshape (c, apart)
           e = Mul (d, bands)
           f = Reshape (e, joined)
           result = ConvTranspose <group=3, strides=[2,2]> (f, wave_w)""",
        weights,
        sizes="int64[5] apart = {1,3,4,24,24}, int64[4] joined = {1,12,24,24}",
        side=48,
    )
    spec = replace(SPEC, ratio=0.3, of="macs", importance="reconstruction", steps=2)
    made = prune_graph(waves, pictures, spec, tmp_path)
    assert inspect_graph(made).macs <= 0.75 * inspect_graph(waves).macs
    graph = onnx.load(str(made.path)).graph
    dims = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    (wave,) = (node for node in graph.node if node.op_type == "ConvTranspose")
    assert dims[wave.input[1]] == [12, 1, 2, 2]


def test_layers_that_share_their_numbers_lose_channels(
    pictures: ArraySamples, tmp_path: Path
) -> None:
    """PyTorch's exporter stores equal values once, as all scales and biases of a net are at first:
    none of the channels that these tied could go."""
    rng = np.random.default_rng(0)
    weights = {"ones": np.ones((1, 16, 1, 1)), "zeros": np.zeros((1, 16, 1, 1))}
    lines, x = [], "image"
    for index, width in enumerate((3, 16, 16)):
        weights[f"w{index}"] = rng.normal(0, 0.2, (16, width, 3, 3))
        lines += [
            f"c{index} = Conv <pads=[1,1,1,1]> ({x}, w{index})",
            f"l{index} = LeakyRelu (c{index})",
            f"s{index} = Mul (l{index}, ones)",
            f"a{index} = Add (s{index}, zeros)",
        ]
        x = f"a{index}"
    weights["head"] = rng.normal(0, 0.2, (3, 16, 3, 3))
    lines.append(f"result = Conv <pads=[1,1,1,1]> ({x}, head)")
    shared = picture_net(tmp_path, "\n".join(lines), weights, values=(-9.0, 9.0))
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
