"""Weights that were trained in PyTorch, back in the ONNX graph that they came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.pytorch.write_back import trainable, write_back


@pytest.fixture
def styled(tmp_path: Path) -> Path:
    """A convolution and an instance norm whose scale and bias are made of a further input."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(0, 0.3, (4, 3, 3, 3)),
        "scale.w": rng.normal(0, 1, (5, 4)),
        "bias.w": rng.normal(0, 1, (5, 4)),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "kernel"], ["c"], "conv", pads=[1] * 4),
            helper.make_node("MatMul", ["style", "scale.w"], ["s"], "scale"),
            helper.make_node("MatMul", ["style", "bias.w"], ["b"], "bias"),
            helper.make_node("InstanceNormalization", ["c", "s", "b"], ["picture"], "norm"),
        ],
        "styled",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [5]),
        ],
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()],
    )
    path = tmp_path / "styled.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


def test_a_norm_with_computed_scale_has_nothing_to_write_and_stays(
    styled: Path, tmp_path: Path
) -> None:
    imported = import_torch(styled)
    parameters = trainable(imported, imported.module)
    assert any(p.shape == (4, 3, 3, 3) for p in parameters.values())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter *= 1.25
    assert write_back(imported, imported.module, tmp_path / "trained.onnx") < 1e-4
    again = import_torch(tmp_path / "trained.onnx")
    inputs = [torch.ones(1, 3, 8, 8), torch.ones(5)]
    for mine, theirs in zip(imported.module(*inputs), again.module(*inputs), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_norms_and_linear_layers_are_written_back(
    graph: Callable[..., Any], save: Any, tmp_path: Path
) -> None:
    model = graph(
        "float[1,4] x",
        "float[1,4] y, float[1,4] z",
        """
        n = LayerNormalization (x, scale, shift)
        m = MatMul (n, square)
        y = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (m, square, shift)
        z = Gemm (m, square)
        """,
        {"scale": (4,), "shift": (4,), "square": (4, 4)},
    )
    imported = import_torch(save(model))
    parameters = trainable(imported, imported.module)
    assert len(parameters) == 6
    with torch.no_grad():
        for number, parameter in enumerate(parameters.values()):
            parameter *= 1.1 + 0.1 * number
    path = tmp_path / "trained.onnx"
    assert write_back(imported, imported.module, path) < 1e-5
    x = torch.rand(1, 4)
    for mine, theirs in zip(imported.module(x), import_torch(path).module(x), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_what_was_not_trained_stays_as_it_is_written(
    graph: Callable[..., Any], save: Any, tmp_path: Path
) -> None:
    """Two nodes share a weight, one of them by a factor."""
    import onnx

    body = "m = MatMul (x, square)\n y = Gemm <alpha = 0.5, beta = 2.0> (m, square, shift)"
    weights = {"shift": (1, 4), "square": (4, 4)}
    imported = import_torch(save(graph("float[1,4] x", "float[1,4] y", body, weights)))
    write_back(imported, imported.module, tmp_path / "again.onnx")
    nodes = onnx.load(str(tmp_path / "again.onnx")).graph.node
    assert [list(node.input) for node in nodes] == [["x", "square"], ["m", "square", "shift"]]


def test_a_transposed_convolution_with_a_computed_kernel_stays(
    graph: Callable[..., Any], difference: Any, save: Any, tmp_path: Path
) -> None:
    """As a StyleGAN's are."""
    import onnx

    model = graph(
        "float[1,4,6,6] x, float[4,1,1,1] style",
        "float[1,3,12,12] y",
        """c = Conv <pads=[1,1,1,1]> (x, w)
           k = Mul (style, v)
           y = ConvTranspose <strides=[2,2], group=1> (c, k)""",
        {"w": (4, 4, 3, 3), "v": (4, 3, 2, 2)},
    )
    imported, back = import_torch(save(model)), tmp_path / "back.onnx"
    assert write_back(imported, imported.module, back) < 1e-5
    assert difference(model, onnx.load(str(back))) < 1e-5


def test_warps_stay_what_they_were(graph: Callable[..., Any], save: Any, tmp_path: Path) -> None:
    """A runtime with a fast GridSample must still find it."""
    import onnx

    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,8,8] y",
        """
        flow = Conv (x, w)
        grid = Transpose <perm = [0, 2, 3, 1]> (flow)
        y = GridSample <mode = "linear"> (x, grid)
        """,
        {"w": np.random.default_rng(0).normal(0, 0.1, (2, 3, 1, 1)).astype(np.float32)},
        opset=20,
    )
    imported = import_torch(save(model))
    with torch.no_grad():
        for parameter in trainable(imported, imported.module).values():
            parameter *= 1.25
    path = tmp_path / "trained.onnx"
    assert write_back(imported, imported.module, path) < 1e-4
    kinds = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert kinds == ["Conv", "Transpose", "GridSample"]


@pytest.mark.parametrize(("op", "gates"), [("GRU", 3), ("LSTM", 4), ("RNN", 1)])
def test_recurrent_ops_are_written_back(
    graph: Callable[..., Any], save: Any, tmp_path: Path, op: str, gates: int
) -> None:
    model = graph(
        "float[5,1,4] x",
        "float[5,2,1,6] y",
        f'y = {op} <hidden_size = 6, direction = "bidirectional"> (x, w, r, b)',
        {"w": (2, gates * 6, 4), "r": (2, gates * 6, 6), "b": (2, gates * 12)},
    )
    imported = import_torch(save(model))
    parameters = trainable(imported, imported.module)
    assert len(parameters) == 3
    with torch.no_grad():
        for parameter in parameters.values():
            parameter *= 1.25
    assert write_back(imported, imported.module, tmp_path / "trained.onnx") < 1e-4
    again = import_torch(tmp_path / "trained.onnx")
    x = torch.ones(5, 1, 4)
    torch.testing.assert_close(imported.module(x), again.module(x))
