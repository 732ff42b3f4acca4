"""Linear layers over pixels and tokens are convolutions: ONNX Runtime computes the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from edgeanim.graph.normalize import normalize
from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import pointwise
from tests.graph.applied import applied

GELU = """d = Div (h, root)
          e = Erf (d)
          o = Add (e, one)
          p = Mul (h, o)
          g = Mul (p, half)"""
NUMBERS = {
    "root": np.array(2**0.5, np.float32),
    "one": np.array(1, np.float32),
    "half": np.array(0.5, np.float32),
}
MLP = {"a": (8, 32), "c": (32,), "b": (32, 8), "k": (8,)}


def ops_of(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_a_convnext_block_is_convolutions_between_one_pair_of_transpositions(
    graph: Any, difference: Any
) -> None:
    model = graph(
        "float[1,8,12,16] x",
        "float[1,8,12,16] y",
        f"""w = Conv <group=8, pads=[3,3,3,3]> (x, depthwise)
           t = Transpose <perm=[0,2,3,1]> (w)
           n = LayerNormalization (t, scale, shift)
           m = MatMul (n, a)
           h = Add (c, m)
           {GELU}
           q = MatMul (g, b)
           r = Add (q, k)
           s = Mul (gamma, r)
           u = Transpose <perm=[0,3,1,2]> (s)
           y = Add (x, u)""",
        {"depthwise": (8, 1, 7, 7), "scale": (8,), "shift": (8,), "gamma": (8,)} | MLP | NUMBERS,
    )
    names = {node.name for node in model.graph.node if node.op_type == "MatMul"}
    clean = normalize(model)
    ops = ops_of(clean)
    assert (ops["MatMul"], ops["Conv"], ops["Transpose"], ops["Reshape"]) == (0, 3, 2, 0)
    assert names <= {node.name for node in clean.graph.node if node.op_type == "Conv"}
    assert difference(model, clean) <= 1e-5
    assert restructure(model).changes["pointwise"] == 2


def test_tokens_go_through_a_block_as_one_picture(graph: Any, difference: Any) -> None:
    """Two layers and what works token by token between them, with a reshape at either end only."""
    model = graph(
        "float[1,96,8] x",
        "float[1,96,8] y",
        f"""m = MatMul (x, a)
           h = Add (m, c)
           {GELU}
           q = MatMul (g, b)
           r = Add (q, k)
           y = Add (x, r)""",
        MLP | NUMBERS,
    )
    clean = normalize(model)
    ops = ops_of(clean)
    assert (ops["MatMul"], ops["Conv"], ops["Transpose"], ops["Reshape"]) == (0, 2, 2, 2)
    assert difference(model, clean) <= 1e-5


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("80,8", "z = Gemm <transB=1> (x, t, c) \n y = Sin (z)"),
        ("80,8", "z = Gemm (x, a) \n y = Mul (z, z)"),
        ("5,16,8", "z = MatMul (x, a) \n y = Add (z, z)"),
        ("1,64,8", "z = MatMul (x, a) \n w = Add (z, rows) \n y = Relu (w)"),
        ("2,4,8,8", "z = MatMul (x, a) \n y = Clip (z, zero, one)"),
    ],
)
def test_products_of_any_shape_keep_their_numbers(
    graph: Any, difference: Any, shape: str, body: str
) -> None:
    made = shape.rsplit(",", 1)[0] + ",32"
    weights = MLP | {"t": (32, 8), "rows": (64, 1), "zero": np.array(0, np.float32)} | NUMBERS
    model = graph(f"float[{shape}] x", f"float[{made}] y", body, weights)
    count, copy, ops = applied(pointwise, model)
    assert (count, ops["Conv"], ops["MatMul"] + ops["Gemm"]) == (1, 1, 0)
    assert difference(model, copy) <= 1e-5


@pytest.mark.parametrize(
    "body",
    [
        "y = MatMul (x, v)",
        "s = Slice (x, from, to, axis) \n y = MatMul (s, a)",
    ],
)
def test_few_tokens_and_computed_matrices_stay(graph: Any, body: str) -> None:
    model = graph(
        "float[1,80,8] x, float[8,32] v",
        "float[1,T,32] y",
        body,
        MLP | {name: np.array([n]) for name, n in (("from", 0), ("to", 5), ("axis", 1))},
    )
    assert applied(pointwise, model)[0] == 0


def test_a_number_for_each_channel_of_a_head_is_none_for_each_of_all(
    graph: Any, difference: Any
) -> None:
    """As attention scales its queries once they are cut into heads."""
    model = graph(
        "float[1,64,8] x",
        "float[1,64,32] y",
        """m = MatMul (x, a)
           h = Reshape (m, heads)
           s = Mul (h, each)
           y = Reshape (s, whole)""",
        {"a": (8, 32), "each": (8,), "heads": np.array([1, 64, 4, 8]),
         "whole": np.array([1, 64, 32])},
    )  # fmt: skip
    count, copy, _ = applied(pointwise, model)
    assert count == 1
    assert difference(model, copy) <= 1e-5


def test_a_bias_that_adds_an_axis_is_a_sum_of_its_own(graph: Any, difference: Any) -> None:
    model = graph(
        "float[64,8] x",
        "float[1,64,32] y",
        "m = MatMul (x, a) \n y = Add (m, b)",
        {"a": (8, 32), "b": (1, 1, 32)},
    )
    count, copy, _ = applied(pointwise, model)
    assert count == 1
    assert difference(model, copy) <= 1e-5
