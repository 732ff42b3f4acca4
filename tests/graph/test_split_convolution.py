"""Convolutions whose result is only cut into wide parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import split_convolution
from tests.graph.applied import applied

GATE = """
    c = Conv <pads = [1, 1, 1, 1]> (x, kernel, bias)
    a, b = Split <axis = 1> (c, sizes)
    s = Sigmoid (b)
    y = Mul (a, s)
"""


def gated(graph: Any, body: str = GATE, half: int = 16, **weights: Any) -> Any:
    given = {
        "kernel": (2 * half, 4, 3, 3),
        "bias": (2 * half,),
        "sizes": np.array([half, half]),
        "zero": np.array([0]),
        "middle": np.array([half]),
        "end": np.array([np.iinfo(np.int64).max]),
        "one": np.array([1]),
        "after": np.array([half + 1]),
        "two": np.array([2]),
    }
    return graph("float[1,4,6,5] x", "float[1,N,6,5] y", body, given | weights)


@settings(max_examples=10)
@given(count=st.integers(2, 4), wide=st.integers(16, 20), bias=st.booleans())
def test_the_parts_give_the_same(
    graph: Any, difference: Any, count: int, wide: int, bias: bool
) -> None:
    names = ", ".join(f"p{i}" for i in range(count))
    body = f"""c = Conv <pads = [1, 1, 1, 1]> (x, kernel{", bias" if bias else ""})
        {names} = Split <axis = 1> (c, sizes)
        y = Sum ({names})"""
    model = gated(
        graph, body, kernel=(count * wide, 4, 3, 3), bias=(count * wide,),
        sizes=np.array([wide] * count),
    )  # fmt: skip
    changed, copy, ops = applied(split_convolution, model)
    assert (changed, ops) == (1, {"Conv": count, "Sum": 1})
    assert difference(model, copy) < 1e-5


def test_slices_are_cuts_as_well(graph: Any, difference: Any) -> None:
    split = "a, b = Split <axis = 1> (c, sizes)"
    slices = "a = Slice (c, zero, middle, one) \n b = Slice (c, middle, end, one, one)"
    model = gated(graph, GATE.replace(split, slices))
    changed, copy, ops = applied(split_convolution, model)
    assert (changed, ops["Conv"], ops["Slice"]) == (1, 2, 0)
    assert difference(model, copy) < 1e-5


def test_behind_a_depthwise_convolution_the_one_before_is_cut(graph: Any, difference: Any) -> None:
    body = GATE.replace("a, b", "d = Conv <group = 32, pads = [1, 1, 1, 1]> (c, each) \n a, b")
    model = gated(graph, body.replace("1> (c,", "1> (d,"), each=(32, 1, 3, 3))
    changed, copy, ops = applied(split_convolution, model)
    assert (changed, ops["Conv"], ops["Split"] + ops["Slice"]) == (2, 4, 0)
    assert difference(model, copy) < 1e-5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = Mul (a, s)", "m = Mul (a, s) \n n = Concat <axis = 1> (m, m) \n y = Mul (c, n)"),
        ("a, b = Split <axis = 1> (c, sizes)",
         "a = Slice (c, zero, middle, one) \n b = Slice (c, one, after, one)"),
        ("a, b = Split <axis = 1> (c, sizes)",
         "a = Slice (c, zero, end, one, two) \n b = Slice (c, one, end, one, two)"),
    ],
    ids=["also read whole", "of parts that overlap", "of every second channel"],
)  # fmt: skip
def test_anything_else_stays(graph: Any, old: str, new: str) -> None:
    assert applied(split_convolution, gated(graph, GATE.replace(old, new)))[0] == 0


def test_so_does_a_map_of_unknown_size(graph: Any) -> None:
    model = gated(graph)
    shape = model.graph.input[0].type.tensor_type.shape
    shape.Clear()
    for name in ("count", "channels", "height", "width"):
        shape.dim.add().dim_param = name
    del model.graph.value_info[:]
    assert split_convolution.rewrite(model) == 0


def test_narrow_parts_stay(graph: Any) -> None:
    assert applied(split_convolution, gated(graph, half=8))[0] == 0


def test_a_name_stands_for_its_parts(graph: Any) -> None:
    model = gated(graph)
    model.graph.node[0].name = "gate"
    made = restructure(model).model
    names = {node.name for node in made.graph.node if node.op_type == "Conv"}
    assert names == {"gate", "gate/part1"}
    assert split_convolution.with_parts(("gate",), made) == ("gate", "gate/part1")
    assert split_convolution.with_parts(("other",), made) == ("other",)
