"""PRelus with one slope: the same numbers as LeakyRelus, and those with a slope for each stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import single_slope
from tests.graph.applied import applied


def sloped(graph: Any, slope: np.ndarray) -> Any:
    weights = {"slope": slope.astype(np.float32)}
    return graph("float[1,3,4,5] x", "float[1,3,4,5] y", "y = PRelu (x, slope)", weights)


@settings(max_examples=20)
@given(slope=st.floats(-2, 2, width=32), ranks=st.integers(0, 4))
def test_the_numbers_are_the_same(graph: Any, difference: Any, slope: float, ranks: int) -> None:
    model = sloped(graph, np.full((1,) * ranks, slope))
    count, copy, ops = applied(single_slope, model)
    assert (count, ops) == (1, {"LeakyRelu": 1})
    assert copy.graph.node[0].name == model.graph.node[0].name
    assert difference(model, copy) == 0


@pytest.mark.parametrize("shape", [(3, 1, 1), (5,)], ids=["by channel", "by column"])
def test_several_slopes_stay(graph: Any, shape: tuple[int, ...]) -> None:
    assert applied(single_slope, sloped(graph, np.full(shape, 0.25)))[0] == 0


def test_a_computed_slope_stays(graph: Any) -> None:
    model = graph("float[1,3,4,5] x, float[1] a", "float[1,3,4,5] y", "y = PRelu (x, a)")
    assert applied(single_slope, model)[0] == 0
