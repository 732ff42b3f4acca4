"""Kernels that a style scales: ONNX Runtime computes the same before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import modulated
from tests.graph.applied import applied

I64 = np.int64


def modulated_net(
    graph: Any, *, transposed: bool, demodulated: str, biased: bool, taps: int, batch: str
) -> Any:
    """A convolution from 5 to 6 channels by a kernel that a style scales, as StyleGAN writes it."""
    kernel = (1, 6, 5, taps, taps)
    demodulation = {
        "": "n = Identity (m)",
        "Mul": """q = Pow (m, two)
           u = ReduceSum <keepdims=0> (q, axes)
           e = Add (u, eps)
           r = Sqrt (e)
           d = Reciprocal (r)
           f = Reshape (d, outs)
           n = Mul (m, f)""",
        "Div": """q = Mul (m, m)
           u = ReduceSum <keepdims=1> (q, axes)
           e = Add (u, eps)
           r = Sqrt (e)
           n = Div (m, r)""",
    }[demodulated]
    bias, pads = ", b" if biased else "", ",".join([str(taps // 2)] * 4)
    off = f"k = {batch} <axis=0> (o, first)" if batch == "Gather" else "k = Reshape (o, flat)"
    last = (
        f"""o = Transpose <perm=[0,2,1,3,4]> (n)
           {off}
           y = ConvTranspose <strides=[2,2]> (x, k{bias})"""
        if transposed
        else f"o = Identity (n) \n {off} \n y = Conv <pads=[{pads}]> (x, k{bias})"
    )
    side = 14 + taps if transposed else 8 + 2 * (taps // 2) - taps + 1
    return graph(
        "float[1,5,8,8] x, float[1,7] style",
        f"float[1,6,{side},{side}] y",
        f"""s = Gemm (style, affine)
           v = Reshape (s, ins)
           m = Mul (w, v)
           {demodulation}
           {last}""",
        {
            "affine": (7, 5), "w": kernel, "b": (6,), "two": np.array(2, np.float32),
            "eps": np.array(0.1, np.float32), "axes": np.array([2, 3, 4], I64),
            "ins": np.array([1, 1, 5, 1, 1], I64), "outs": np.array([1, 6, 1, 1, 1], I64),
            "first": np.array(0, I64),
            "flat": np.array([-1, 6 if transposed else 5, taps, taps], I64),
        },
    )  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(
    transposed=st.booleans(),
    demodulated=st.sampled_from(["", "Mul", "Div"]),
    biased=st.booleans(),
    taps=st.integers(1, 3),
    batch=st.sampled_from(["Reshape", "Gather"]),
)
def test_a_kernel_scaled_by_a_style_is_stored(
    graph: Any,
    difference: Any,
    transposed: bool,
    demodulated: str,
    biased: bool,
    taps: int,
    batch: str,
) -> None:
    model = modulated_net(
        graph, transposed=transposed, demodulated=demodulated, biased=biased, taps=taps, batch=batch
    )
    count, copy, ops = applied(modulated, model)
    assert count == 1
    assert difference(model, copy) <= 1e-5
    stored = {tensor.name for tensor in copy.graph.initializer}
    (conv,) = (node for node in copy.graph.node if node.op_type in ("Conv", "ConvTranspose"))
    assert conv.input[1] in stored
    assert ops["ReduceSum"] == ops["Pow"] == 0, "the squares of the kernel are stored sums"
    assert ops["MatMul"] == bool(demodulated)


def test_in_groups_outputs_are_scaled(graph: Any, difference: Any) -> None:
    """As in the depthwise convolutions of a MobileStyleGAN."""
    model = graph(
        "float[1,6,8,8] x, float[1,6] style", "float[1,6,8,8] y",
        """v = Reshape (style, outs)
           k = Div (w, v)
           y = Conv <group=6, pads=[1,1,1,1]> (x, k)""",
        {"w": (6, 1, 3, 3), "outs": np.array([6, 1, 1, 1], I64)},
    )  # fmt: skip
    count, copy, _ = applied(modulated, model)
    assert count == 1
    assert difference(model, copy) <= 1e-5


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("a kernel that is all computed", "k = Reshape (style, kernel) \n y = Conv (x, k)"),
        ("a scale for each tap", "v = Reshape (taps, grid) \n k = Mul (w, v) \n y = Conv (x, k)"),
        ("a sum", "v = ReduceMean <keepdims=0> (style) \n k = Add (w, v) \n y = Conv (x, k)"),
        ("channels in another order",
         """v = Reshape (taps, four)
            s = Reshape (w, split)
            m = Mul (s, v)
            p = Transpose <perm=[1,0,2,3,4]> (m)
            k = Reshape (p, kernel)
            y = Conv (x, k)"""),
    ],
)  # fmt: skip
def test_another_kernel_stays(graph: Any, difference: Any, what: str, body: str) -> None:
    model = graph(
        "float[1,5,8,8] x, float[1,80] style, float[1,4] taps", "float[1,4,7,7] y", body,
        {"w": (4, 5, 2, 2), "kernel": np.array([4, 5, 2, 2], I64),
         "grid": np.array([1, 1, 2, 2], I64), "four": np.array([2, 2, 1, 1, 1], I64),
         "split": np.array([2, 2, 5, 2, 2], I64)},
    )  # fmt: skip
    count, copy, _ = applied(modulated, model)
    assert (what, count) == (what, 0)
    assert difference(model, copy) <= 1e-5


def test_a_layer_of_a_stylegan_has_stored_kernels_alone(graph: Any, difference: Any) -> None:
    model = modulated_net(
        graph, transposed=True, demodulated="Mul", biased=True, taps=3, batch="Reshape"
    )
    made = restructure(model)
    assert made.changes["stored"] == made.changes["transposed"] == 1
    assert difference(model, made.model) <= 1e-5


@pytest.mark.parametrize("form", ["Mul (w, gain)", "Div (w, gain)"])
def test_one_factor_for_a_whole_kernel_is_taken_out_of_its_squares_too(
    graph: Any, difference: Any, form: str
) -> None:
    model = graph(
        "float[1,5,8,8] x, float[1] given",
        "float[1,6,8,8] y",
        f"""gain = Exp (given)
           m = {form}
           q = Mul (m, m)
           u = ReduceSum <keepdims=1> (q, axes)
           e = Add (u, eps)
           r = Sqrt (e)
           k = Div (m, r)
           y = Conv <pads=[1,1,1,1]> (x, k)""",
        {"w": (6, 5, 3, 3), "axes": np.array([1, 2, 3], I64), "eps": np.array(0.1, np.float32)},
    )
    count, copy, ops = applied(modulated, model)
    assert (count, ops["ReduceSum"]) == (1, 0)
    assert difference(model, copy) <= 1e-5
