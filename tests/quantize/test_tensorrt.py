"""The scheme for TensorRT, and our own check of its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.pipeline.quantize import quantize
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.runtimes.tensorrt_rules import check_tensorrt, violations
from edgeanim.quantize.schemes import get_scheme
from edgeanim.targets.board import Board
from tests.quantize.played import outputs


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    unet: GraphArtifact,
    samples: ArraySamples,
    board: Board,
) -> GraphArtifact:
    folder = tmp_path_factory.mktemp("tensorrt")
    return get_scheme("tensorrt-qdq").quantize(unet, samples, QuantizeSpec(), board, folder)


def load(path: Path) -> Any:
    import onnx

    return onnx.load(str(path))


def test_the_graph_keeps_the_rules_and_looks_the_same(
    made: GraphArtifact, unet: GraphArtifact, unseen: ArraySamples
) -> None:
    assert made.scheme == "tensorrt-qdq"
    assert violations(load(made.path)) == []
    wanted, got = outputs(unet.path, unseen), outputs(made.path, unseen)
    assert -10 * np.log10(np.mean((wanted - got) ** 2)) > 35
    assert not np.array_equal(wanted, got)


def test_quantisers_are_where_tensorrt_wants_them(made: GraphArtifact) -> None:
    graph = load(made.path).graph
    maker = {name: node for node in graph.node for name in node.output}
    rounded = {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and maker[node.input[0]].op_type == "DequantizeLinear"
    }
    assert rounded == {"stem", "down1", "enc1", "down2", "enc2", "mid", "dec1", "dec0"}
    total = next(node for node in graph.node if node.op_type == "Add")
    assert {maker[name].op_type for name in total.input} == {"DequantizeLinear"}


def test_unsigned_quantisers_and_quantised_biases_are_named(
    unet: GraphArtifact, samples: ArraySamples, board: Board, tmp_path: Path
) -> None:
    usual = get_scheme("onnx-qdq").quantize(unet, samples, QuantizeSpec(), board, tmp_path)
    with pytest.raises(BadInput, match="'image_QuantizeLinear' is not of signed 8 bits"):
        check_tensorrt(load(usual.path))
    assert "'stem' has a quantised bias" in violations(load(usual.path))


@pytest.mark.parametrize("broken", ["zero", "scale", "nothing", "weights", "relu", "alone"])
def test_every_rule_is_checked(broken: str, made: GraphArtifact) -> None:
    from onnx import helper, numpy_helper

    model = load(made.path)
    graph = model.graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    nodes = {node.name: node for node in graph.node}

    def put(name: str, value: np.ndarray) -> None:
        values[name].CopyFrom(numpy_helper.from_array(value, name))

    if broken == "zero":
        put("image/zero", np.array(3, np.int8))
        wanted = "'image/quantize' has a zero point that is not 0"
    elif broken == "scale":
        put("image/scale", np.full(3, 0.1, np.float32))
        wanted = "'image/quantize' has several scales for an activation"
    elif broken == "nothing":
        put("image/scale", np.array(0, np.float32))
        wanted = "'image/quantize' has a scale that is not positive"
    elif broken == "weights":
        nodes["enc1"].input[1] = "enc1.w"
        wanted = "'enc1' has only one of input and weights in 8 bits"
    elif broken == "relu":
        ends = ["image/scale", "image/zero"]
        graph.node.extend(
            [
                helper.make_node("QuantizeLinear", ["stem", *ends], ["q"], "between"),
                helper.make_node("DequantizeLinear", ["q", *ends], ["d"], "after"),
            ]
        )
        nodes["stem.relu"].input[0] = "d"
        wanted = "'between' lies between a convolution and its ReLU"
    else:
        ends = ["image/scale", "image/zero"]
        graph.node.append(helper.make_node("QuantizeLinear", ["head", *ends], ["q"], "end"))
        wanted = "'end' is not followed by a DequantizeLinear"
    assert wanted in violations(model)


def test_a_board_without_int8_refuses_it_and_says_why(unet: GraphArtifact, tmp_path: Path) -> None:
    board = tmp_path / "old.toml"
    board.write_text(
        """schema = 1
name = "old"
title = "A test bench without INT8"
arch = "x86_64"
memory_mb = 1024
cores = 1
notes = ["Its unit has no INT8 at all."]
[[backends]]
name = "null"
precisions = ["float32"]
"""
    )
    for i in range(4):
        picture = np.full((64, 64, 3), 40 * i, np.uint8)
        picture[i] = 255
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    with pytest.raises(UsageError) as refused:
        quantize(unet.path, calib=tmp_path, out=tmp_path / "out", board=board, backends=("all",))
    assert "no INT8 at all" in str(refused.value)
