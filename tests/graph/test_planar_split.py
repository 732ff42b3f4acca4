"""Cutting the channels of a convolution's result apart: the same values, in planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import planar_split
from tests.graph.applied import applied, executed_by_openvino

CUT = """
    c = Conv <pads = [1, 1, 1, 1]> (x, kernel)
    r = BETWEEN (c)
    a = Slice (r, zero, three, one)
    b = Slice (r, three, last, one)
    an = Neg (a)
    bn = Exp (b)
    y = Concat <axis = 1> (bn, an)
"""


def cutting(
    graph: Any, steps: str, channels: int = 8, size: tuple[int, int] = (5, 6), count: int = 2
) -> Any:
    height, width = size
    kernel = np.random.default_rng(channels).normal(size=(channels, 3, 3, 3))
    indices = {"zero": 0, "one": 1, "two": 2, "three": 3, "last": np.iinfo(np.int64).max}
    return graph(
        f"float[{count},3,{height},{width}] x",
        f"float[{count},{channels},{height},{width}] y",
        steps,
        {
            "kernel": kernel.astype(np.float32),
            **{name: np.array([value], np.int64) for name, value in indices.items()},
        },
    )


@settings(max_examples=15)
@given(
    channels=st.integers(4, 9),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    between=st.sampled_from(["Identity", "Relu", "Tanh"]),
)
def test_the_very_values(
    graph: Any, difference: Any, channels: int, size: tuple[int, int], between: str
) -> None:
    steps = CUT.replace("BETWEEN (c)", f"{between} (c)")
    if between == "Identity":
        steps = CUT.replace("    r = BETWEEN (c)\n", "").replace("Slice (r", "Slice (c")
    model = cutting(graph, steps, channels, size)
    count, copy, ops = applied(planar_split, model)
    assert (count, ops["Transpose"], ops["Slice"]) == (1, 2, 2)
    assert difference(model, copy) == 0


@pytest.mark.parametrize(
    "steps",
    [
        CUT.replace("BETWEEN", "Sin"),
        CUT.replace("BETWEEN", "Relu").replace("b = Slice (r", "n = Neg (r)\n b = Slice (n"),
        CUT.replace("BETWEEN", "Relu").replace("one)", "two)").replace("= 1> (bn", "= 2> (bn"),
    ],
    ids=["of no convolution", "also read whole", "cut along rows"],
)
def test_anything_else_stays(graph: Any, steps: str) -> None:
    assert applied(planar_split, cutting(graph, steps))[0] == 0


def test_openvino_splits_nothing(graph: Any) -> None:
    model = cutting(graph, CUT.replace("BETWEEN", "Relu"), 16, (32, 32), count=1)
    before, after = map(executed_by_openvino, (model, applied(planar_split, model)[1]))
    assert "VariadicSplit" in before
    assert "VariadicSplit" not in after
