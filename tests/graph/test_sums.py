"""Sums as additions of two values each: the same numbers, and INT8 knows them."""

from __future__ import annotations

from typing import Any

import pytest

from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import sums
from tests.graph.applied import applied


@pytest.mark.parametrize("op", ["Sum", "Mean"])
@pytest.mark.parametrize("read", [["x", "w"], ["x", "w", "x"], ["w", "x", "v", "x"]])
def test_a_sum_is_additions(graph: Any, difference: Any, op: str, read: list[str]) -> None:
    model = graph(
        "float[1,3,6,5] x",
        "float[1,3,6,5] y",
        f"y = {op} ({', '.join(read)})",
        {"w": (3, 1, 1), "v": (1, 3, 6, 5)},
    )
    count, copy, ops = applied(sums, model)
    assert (count, ops["Add"], ops[op]) == (1, len(read) - 1, 0)
    assert copy.graph.node[-1].name == model.graph.node[0].name
    assert difference(model, copy) <= 1e-6
    assert restructure(model).changes["sums"] == 1


def test_of_one_value_nothing_is_left(graph: Any) -> None:
    model = graph("float[1,3,6,5] x", "float[1,3,6,5] y", "s = Sum (x) \n y = Relu (s)")
    made = restructure(model)
    assert (made.changes["sums"], len(made.model.graph.node)) == (0, 1)
