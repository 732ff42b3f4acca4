"""Look-ups by tables of places: the same values by rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.rewrites import flat_places
from tests.graph.applied import applied

TABLE = np.array([[0, 2, -1], [3, 3, 1]], np.int64)


@pytest.mark.parametrize(("axis", "shape"), [(2, "1,3,2,3,6"), (-1, "1,3,5,2,3"), (1, "1,2,3,5,6")])
def test_rows_give_the_same(graph: Any, difference: Any, axis: int, shape: str) -> None:
    table = TABLE.clip(max=2)
    body = f"y = Gather <axis = {axis}> (x, table)"
    model = graph("float[1,3,5,6] x", f"float[{shape}] y", body, {"table": table})
    count, copy, ops = applied(flat_places, model)
    assert (count, ops["Gather"]) == (1, 1)
    assert difference(model, copy) == 0


def test_a_table_that_is_computed_is_a_row_too(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,5,6] x", "float[1,3,2,3,6] y",
        """m = ReduceMax <keepdims = 0> (x)
           i = Cast <to = 7> (m)
           t = Add (i, table)
           y = Gather <axis = 2> (x, t)""",
        {"table": TABLE.clip(max=2)},
    )  # fmt: skip
    count, copy, ops = applied(flat_places, model)
    assert (count, ops["Gather"]) == (1, 1)
    assert difference(model, copy) == 0


@pytest.mark.parametrize("places", [TABLE[0], TABLE[0, 1]])
def test_a_row_or_one_place_stays(graph: Any, places: Any) -> None:
    shape = "1,3,3,6" if places.ndim else "1,3,6"
    body = "y = Gather <axis = 2> (x, places)"
    model = graph("float[1,3,5,6] x", f"float[{shape}] y", body, {"places": places})
    assert applied(flat_places, model)[0] == 0
