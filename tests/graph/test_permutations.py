"""Orders of channels that OpenVINO would turn round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.reference import Reference, deviation, inputs_for
from edgeanim.graph.rewrites import permutations
from edgeanim.targets.lowering import lowered_for_openvino
from tests.graph.applied import applied, by_openvino

PICTURE = "float[1,5,8,8] x"
MIXED = np.random.default_rng(2).permutation(64)


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 0], [2, 0, 1, 3, 4], [-1, 0, -2, 1, 2]])
def test_openvino_keeps_the_order(graph: Any, save: Any, order: list[int]) -> None:
    body = f"""a = Relu (x)
               order = Constant <value_ints = {order}> ()
               g = Gather <axis = 1> (a, order)
               y = Conv (g, w)"""
    path = save(model := graph(PICTURE, "float[1,3,8,8] y", body, {"w": (3, 5, 1, 1)}))
    wanted = Reference(model).run(inputs_for(model))["y"]
    assert deviation(wanted, by_openvino(lowered_for_openvino(path))) <= 1e-5


@pytest.mark.parametrize(
    ("picture", "body"),
    [
        ("1,5,8", "g = Gather <axis = 1> (x, order) y = Conv (g, w)"),
        (
            "1,8,5",
            """g = Gather <axis = 2> (x, order)
               t = Transpose <perm = [0,2,1]> (g)
               y = Conv (t, w)""",
        ),
    ],
)
def test_also_of_a_row_and_of_channels_that_come_last(
    graph: Any, save: Any, picture: str, body: str
) -> None:
    weights = {"order": np.array([1, 2, 3, 4, 0]), "w": (3, 5, 1)}
    path = save(model := graph(f"float[{picture}] x", "float[1,3,8] y", body, weights))
    wanted = Reference(model).run(inputs_for(model))["y"]
    assert deviation(wanted, by_openvino(lowered_for_openvino(path))) <= 1e-5


@pytest.mark.parametrize("order", [MIXED, MIXED - 64, np.roll(np.arange(64), 1)])
def test_any_order_is_two_exchanges(graph: Any, difference: Any, order: Any) -> None:
    body = "y = Gather <axis = -3> (x, order)"
    model = graph("float[1,64,2,2] x", "float[1,64,2,2] y", body, {"order": order})
    count, made, ops = applied(permutations, model)
    assert (count, ops["Gather"]) == (1, 2)
    assert difference(model, made) == 0
    assert applied(permutations, made)[0] == 0, "they are exchanges"


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [0, 2, 1, 4, 3], [0, 0, 1, 2, 3], [1, 2]])
def test_an_exchange_and_what_is_no_order_stay(graph: Any, order: list[int]) -> None:
    body = "y = Gather <axis = 1> (x, order)"
    ends = PICTURE, f"float[1,{len(order)},8,8] y"
    assert applied(permutations, graph(*ends, body, {"order": np.array(order)}))[0] == 0
