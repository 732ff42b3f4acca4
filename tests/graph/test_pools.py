"""Pools in numbers: the windows that ONNX Runtime lays, and the shapes that follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.normalize import normalize
from edgeanim.graph.queries import value_shapes
from edgeanim.graph.reference import Reference
from edgeanim.graph.rewrites import pools
from tests.graph.applied import applied

WINDOWS = [(1, 2, 1), (2, 3, 1), (2, 2, 1), (3, 2, 1), (2, 2, 2), (2, 3, 2), (3, 1, 2)]
"""Kernel, stride and dilation."""


def said(op: str, kernel: int, stride: int, dilation: int, more: str) -> str:
    rest = "" if dilation == 1 else f", dilations=[{dilation},{dilation}]"
    given = f"kernel_shape=[{kernel},{kernel}], strides=[{stride},{stride}]{rest}{more}"
    return f"p = {op} <{given}> (x) \n y = Relu (p)"


def shapes_of(model: Any) -> tuple[Any, Any]:
    """The shape of `p` as ONNX Runtime makes it, and as the normal form of the graph says."""
    model.graph.output[0].type.tensor_type.ClearField("shape")
    feeds = {"x": np.random.default_rng(0).uniform(-1, 1, (1, 2, 8, 9)).astype(np.float32)}
    clean = normalize(model)
    wanted, made = Reference(model).run(feeds)["y"], Reference(clean).run(feeds)["y"]
    np.testing.assert_allclose(made, wanted, atol=1e-6)
    return wanted.shape, value_shapes(clean)["p"]


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("pads", ["", "0,0,1,1"])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_last_window_behind_the_picture_is_none(
    graph: Any, op: str, pads: str, window: tuple[int, int, int]
) -> None:
    if window[0] == 1 and pads:
        pytest.skip("no runtime takes pads as wide as the window")
    padded = f", pads=[{pads}]" if pads else ""
    body = said(op, *window, f", ceil_mode=1{padded}")
    opset = 19 if op == "AveragePool" else 18
    wanted, said_so = shapes_of(graph("float[1,2,8,9] x", "float[1,2,1,1] y", body, opset=opset))
    assert said_so == wanted


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[1] <= w[0]])
def test_pads_are_spelt_out_as_they_are_run(
    graph: Any, op: str, mode: str, ceil: int, window: tuple[int, int, int]
) -> None:
    body = said(op, *window, f', ceil_mode={ceil}, auto_pad="{mode}"')
    opset = 19 if op == "AveragePool" else 18
    wanted, said_so = shapes_of(graph("float[1,2,8,9] x", "float[1,2,1,1] y", body, opset=opset))
    assert said_so == wanted


def test_what_is_behind_such_a_pool_has_its_shape(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,2,8,8] x",
        "float[1,2,2] y",
        """a = MaxPool <kernel_shape=[1,1], strides=[2,2], ceil_mode=1> (x)
           b = MaxPool <kernel_shape=[1,1], strides=[2,2], ceil_mode=1> (a)
           c = MaxPool <kernel_shape=[1,1], strides=[2,2], ceil_mode=1> (b)
           size = Shape (b)
           d = Resize <mode="nearest"> (c, , , size)
           y = ReduceMax <keepdims=0> (d, last)""",
        {"last": np.array([3])},
    )
    assert difference(model, normalize(model)) == 0


def test_strides_that_leave_out_a_border_stay(graph: Any) -> None:
    body = said("AveragePool", 1, 3, 1, ', auto_pad="SAME_UPPER"')
    assert applied(pools, graph("float[1,2,6,6] x", "float[1,2,2,2] y", body))[0] == 0
