"""The search for float islands, over trials that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import pytest

from edgeanim.pipeline.island_search import drop_costly, shortest_within


class Table:
    """Trials of layers a, b, c, …: whether they keep to the limit is told, and so is what each
    costs in float."""

    def __init__(self, enough: Callable[[set[str]], bool], costs: dict[str, float]) -> None:
        self._enough = enough
        self.tried: list[set[str]] = []
        self.search = SimpleNamespace(time=lambda floats: sum(costs[n] for _, n in floats))

    def within(self, floats: Iterable[tuple[str, str]]) -> bool:
        names = {node for _, node in floats}
        if names not in self.tried:
            self.tried.append(names)
        return self._enough(names)

    def known_within(self, floats: Iterable[tuple[str, str]]) -> bool:
        names = {node for _, node in floats}
        return names in self.tried and self._enough(names)


def layers(names: Iterable[str]) -> list[tuple[str, str]]:
    return [("net", name) for name in names]


@pytest.mark.parametrize("least", [1, 2, 37, 63, 64])
def test_the_least_islands_of_a_path_are_found_in_few_trials(least: int) -> None:
    names = [f"conv{number}" for number in range(64)]
    table = Table(lambda floats: set(names[:least]) <= floats, {})
    shortest_within(table, layers(names))
    assert set(names[:least]) in table.tried
    assert set(names[: least - 1]) in table.tried
    assert len(table.tried) <= 2 + 6


def test_islands_that_cost_most_and_are_not_needed_return_to_int8() -> None:
    costs = {"a": 5.0, "b": 9.0, "c": 3.0, "d": -1.0, "e": 7.0}
    table = Table(lambda floats: {"b", "d"} <= floats, costs)
    path = layers("abcde")
    shortest_within(table, path)
    before = list(table.tried)
    drop_costly(table, path)
    # What is needed is tried without once; `d` saves time where it is; `e` is not in float.
    assert table.tried[len(before) :] == [set("acd"), set("bcd"), set("bd")]


def test_nothing_more_is_tried_where_nothing_keeps_to_the_limit() -> None:
    table = Table(lambda _: False, {"a": 1.0, "b": 1.0})
    shortest_within(table, layers("ab"))
    drop_costly(table, layers("ab"))
    assert table.tried == [set(), set("ab")]
