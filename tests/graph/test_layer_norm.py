"""Layer norms that are written out: one op with the same numbers, on every axis that has one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.queries import opset_of
from edgeanim.graph.rewrites import layer_norm
from tests.graph.applied import applied

SQUARES = ["p = Pow (d, two)", "p = Mul (d, d)"]
QUOTIENTS = [
    "q = Sqrt (e) \n n = Div (d, q)",
    "q = Sqrt (e) \n r = Reciprocal (q) \n n = Mul (r, d)",
    "q = Sqrt (e) \n r = Div (one, q) \n n = Mul (d, r)",
    "q = Pow (e, half) \n n = Div (d, q)",
]
BEHIND = {
    "nothing": "y = Neg (n)",
    "a scale": "y = Mul (n, scale)",
    "a shift": "y = Add (shift, n)",
    "both": "s = Mul (scale, n) \n y = Add (s, shift)",
    "one for all": "s = Mul (n, two) \n y = Add (s, one)",
}


def norm(
    graph: Any, axis: int, square: str = SQUARES[0], quotient: str = QUOTIENTS[0],
    behind: str = "both", opset: int = 17, kept: int = 1,
) -> Any:  # fmt: skip
    """One of [2, 4, 5, 3] over an `axis`."""
    count = (2, 4, 5, 3)[axis]
    numbers = np.random.default_rng(0).uniform(0.5, 1.5, (2, count)).astype(np.float32)
    scale, shift = numbers.reshape((2, count, 1, 1) if axis == 1 else (2, count))
    given, constant = (
        (f"<axes = [{axis}], keepdims = {kept}>", "")
        if opset < 18
        else (f"<keepdims = {kept}>", ", axes")
    )
    model = graph(
        "float[2,4,5,3] x",
        "float[2,4,5,3] y",
        f"""m = ReduceMean {given} (x{constant})
            d = Sub (x, m)
            {square}
            v = ReduceMean {given} (p{constant})
            e = Add (v, eps)
            {quotient}
            {BEHIND[behind]}""",
        {
            "eps": np.array(1e-5, np.float32),
            "one": np.array(1, np.float32),
            "two": np.array(2, np.float32),
            "half": np.array(0.5, np.float32),
            "axes": np.array([axis], np.int64),
            "scale": scale,
            "shift": shift,
        },
        opset=opset,
    )
    read = {name for node in model.graph.node for name in node.input}
    stored = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(stored)
    return model


@settings(max_examples=30)
@given(
    axis=st.sampled_from([-1, 1, 3]),
    square=st.sampled_from(SQUARES),
    quotient=st.sampled_from(QUOTIENTS),
    behind=st.sampled_from(sorted(BEHIND)),
    opset=st.sampled_from([13, 17, 18, 20]),
)
def test_it_is_one_op_with_the_same_numbers(
    graph: Any, difference: Any, axis: int, square: str, quotient: str, behind: str, opset: int
) -> None:
    model = norm(graph, axis, square, quotient, behind, opset)
    count, copy, ops = applied(layer_norm, model)
    moves = {"Transpose": 2} if axis == 1 else {}
    rest = {"Neg": 1} if behind == "nothing" else {}
    assert (count, ops) == (1, Counter(LayerNormalization=1, **moves, **rest))
    assert difference(model, copy) < 1e-5
    assert opset_of(copy) == max(17, opset)


def test_a_scale_of_another_axis_stays_behind_it(graph: Any, difference: Any) -> None:
    model = norm(graph, -1)
    model.graph.initializer[-2].CopyFrom(norm(graph, 1).graph.initializer[-2])
    count, copy, ops = applied(layer_norm, model)
    assert (count, ops) == (1, Counter(LayerNormalization=1, Mul=1, Add=1))
    assert difference(model, copy) < 1e-5


@pytest.mark.parametrize("axis", [0, 2])
def test_a_norm_over_another_axis_stays(graph: Any, axis: int) -> None:
    assert applied(layer_norm, norm(graph, axis, behind="nothing"))[0] == 0


@pytest.mark.parametrize("body", ["y = Relu (x)", "m = ReduceMean <axes=[1]> (x)\n y = Sub (x, m)"])
def test_an_old_graph_without_a_norm_keeps_its_opset(graph: Any, body: str) -> None:
    model = graph("float[1,4] x", "float[1,4] y", body, opset=13)
    assert opset_of(applied(layer_norm, model)[1]) == 13
