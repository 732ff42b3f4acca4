"""A number per channel that several nodes read becomes one of each node's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeanim.graph.rewrites import shared_numbers
from tests.graph.applied import applied

BODY = """a = Relu (x)
    b = Mul (a, scale)
    c = Tanh (b)
    d = Mul (c, scale)
    e = Add (d, scale)
    f = Add (e, map)
    y = Mul (f, map)"""


def two_scales(graph: Callable[..., Any], scale: tuple[int, ...]) -> Any:
    """A picture scaled twice by numbers of one shape, shifted by them, and by a map's."""
    weights = {"scale": scale, "map": (1, 1, 5, 5)}
    return graph("float[1,4,5,5] x", "float[1,4,5,5] y", BODY, weights)


def test_each_reader_gets_a_copy(graph: Any, difference: Any) -> None:
    for shape in ((1, 4, 1, 1), (4, 1, 1)):
        model = two_scales(graph, shape)
        count, copy, ops = applied(shared_numbers, model)
        assert count == 2
        stored = {t.name: tuple(t.dims) for t in copy.graph.initializer}
        read = [n.input[1] for n in copy.graph.node if len(n.input) > 1]
        assert len(set(read[:3])) == 3
        assert [stored[name] for name in read] == [*[shape] * 3, *[(1, 1, 5, 5)] * 2]
        assert read[3] == read[4]
        assert ops == {"Relu": 1, "Mul": 3, "Tanh": 1, "Add": 2}
        assert difference(model, copy) == 0


def test_the_first_reader_keeps_the_name(graph: Any) -> None:
    """By which a parameter is known, and by which a killed recovery goes on."""
    copy = applied(shared_numbers, two_scales(graph, (4, 1, 1)))[1]
    assert copy.graph.node[1].input[1] == "scale"


def test_numbers_that_are_not_one_per_channel_stay(graph: Any) -> None:
    assert applied(shared_numbers, two_scales(graph, (1, 1, 1, 1)))[0] == 0
