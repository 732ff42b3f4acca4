"""Inspection: sizes are counted right and obstacles are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim.graph.inspect import inspect_model


def test_sizes_of_a_small_net(tiny_onnx: Any) -> None:
    (info,) = inspect_model(tiny_onnx(64, 16)).graphs
    assert info.params == (3 * 16 + 16 * 16 + 16 * 3) * 9 + 16 + 16 + 3
    assert info.macs == (3 * 16 + 16 * 16 + 16 * 3) * 9 * 64 * 64
    assert info.macs_by_op == {"Conv": info.macs}
    assert info.ops == {"Conv": 3, "Relu": 2, "Sigmoid": 1}
    assert (info.opset, info.importable, info.warnings) == (17, True, ())


def test_steps_of_a_sequence_are_counted_and_importable(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,8,8] y",
        """s = Reshape (x, steps)
           r = LSTM <hidden_size=12, direction="bidirectional"> (s, w, u)
           y = Reshape (r, picture)""",
        {
            "steps": np.array([8, 1, 24], np.int64),
            "picture": np.array([1, 3, 8, 8], np.int64),
            "w": (2, 48, 24),
            "u": (2, 48, 12),
        },
    )
    (info,) = inspect_model(save(model)).graphs
    assert info.macs_by_op == {"LSTM": 8 * 2 * 48 * (24 + 12)}
    assert (info.importable, info.warnings) == (True, ())


def test_products_and_transposed_convolutions_are_counted(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,16,16] y",
        """up = ConvTranspose <strides=[2,2]> (x, w)
           y = MatMul (up, m)""",
        {"w": (3, 3, 2, 2), "m": (16, 16)},
    )
    (info,) = inspect_model(save(model)).graphs
    assert info.macs_by_op == {"ConvTranspose": 3 * 64 * 12, "MatMul": 3 * 256 * 16}
    assert not info.warnings, "it is quantised as a plain convolution"


@pytest.mark.parametrize("kernel", ["w", "k"])
def test_a_transposed_convolution_that_int8_cannot_have_is_named(
    graph: Any, save: Any, kernel: str
) -> None:
    model = graph(
        "float[1,3,8,8] x, float[1,3,2,2] taps",
        "float[1,3,16,16] y",
        f"k = Mul (w, taps) \n y = ConvTranspose <strides=[2,2]> (x, {kernel})",
        {"w": (3, 3, 2, 2)},
    )
    (info,) = inspect_model(save(model)).graphs
    assert any("ConvTranspose stays float32" in w for w in info.warnings) == (kernel == "k")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("y = Acos (x)", "The op Acos of node 'node0' cannot be brought into"),
        ("y = GridSample (x, grid)", "GridSample is lowered"),
        ('y = GridSample <mode="cubic"> (x, grid)', "The op GridSample of node 'node0' cannot"),
    ],
)
def test_obstacles_are_named(graph: Any, save: Any, body: str, named: str) -> None:
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", body, {"grid": (1, 8, 8, 2)})
    (info,) = inspect_model(save(model)).graphs
    assert info.importable == ("(x, grid)" in body and "cubic" not in body)
    assert any(named in warning for warning in info.warnings)


def test_what_is_behind_computed_shapes_is_counted(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,8,8] y",
        """size = Shape <start=2> (x)
           none = Sub (size, size)
           zeros = Concat <axis=0> (none, none)
           pads = Concat <axis=0> (zeros, none, none)
           p = Pad <mode="reflect"> (x, pads)
           y = Conv (p, w)""",
        {"w": (3, 3, 1, 1)},
    )
    (info,) = inspect_model(save(model)).graphs
    assert info.macs == 9 * 64


def test_weights_in_constant_nodes_are_counted(graph: Any, save: Any) -> None:
    model = graph("float[1,3,8,8] x", "float[1,4,8,8] y", "y = Conv (x, w)")
    weight = onnx.numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32))
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], "w", value=weight))
    (info,) = inspect_model(save(model)).graphs
    assert (info.params, info.macs) == (12, 12 * 64)


def test_a_branching_that_is_none_stands_in_nobodys_way(graph: Any, save: Any) -> None:
    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,8,8] y",
        """size = Shape <end=1> (x)
           one = Equal (size, size)
           y = If (one) <
             then_branch = then () => (float[1,3,8,8] a) { a = Conv (x, w) },
             else_branch = other () => (float[1,3,8,8] b) { b = Acos (x) }
           >""",
        {"w": (3, 3, 1, 1)},
    )
    (info,) = inspect_model(save(model)).graphs
    assert (info.importable, info.warnings, info.macs) == (True, (), 9 * 64)


def test_an_op_that_stands_in_the_way_is_named_once(graph: Any, save: Any) -> None:
    body = "a = Acos (x) \n b = Acos (a) \n y = Acos (b)"
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", body)
    (info,) = inspect_model(save(model)).graphs
    assert [warning.split(".")[0] for warning in info.warnings] == [
        "The op Acos of node 'node0' and 2 more cannot be brought into PyTorch"
    ]


def test_an_op_of_one_runtime_is_named_once_and_no_other_is_promised_to_run_it(
    graph: Any, save: Any
) -> None:
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", "a = Relu (x) \n y = Relu (a)")
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    for node in model.graph.node:
        node.op_type, node.domain = "QuickGelu", "com.microsoft"
    (info,) = inspect_model(save(model)).graphs
    assert info.warnings == (
        "The op QuickGelu of node 'node0' and 1 more runs in ONNX Runtime only.",
    )


def test_a_graph_that_is_quantised_already_is_told_of_in_one_sentence(
    graph: Any, save: Any
) -> None:
    """Each of its ops was named, and said to run elsewhere."""
    body = """q = QuantizeLinear (x, scale, zero)
              d = DequantizeLinear (q, scale, zero)
              y = Relu (d)"""
    numbers = {"scale": np.array(0.1, np.float32), "zero": np.array(0, np.uint8)}
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", body, numbers)
    (info,) = inspect_model(save(model)).graphs
    (told,) = info.warnings
    assert told.startswith("This graph is quantised already: QuantizeLinear 'node0'. ")
    assert "`edgeanim bench` measures this one as it is" in told
    assert not info.importable


def test_the_style_net_can_be_imported_and_counted(style_model: Path) -> None:
    (info,) = inspect_model(style_model).graphs
    assert info.importable
    assert 1.8e9 < info.macs < 1.9e9
