"""The search for float islands along a path of convolutions, by few trials.

A trial plays and times the model with some convolutions in float, which takes long. The path says
in which order convolutions leave INT8 (`quantize.mixed.islands.Search.path`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

Layer = tuple[str, str]
"""(graph, node) of a convolution."""

_MOST_DROPPED = 4
"""So many islands are tried without at most."""


class PredictsTime(Protocol):
    """See `quantize.mixed.islands.Search`."""

    def time(self, floats: Iterable[Layer]) -> float:
        """Predicted microseconds a frame with these layers in float."""


class Trials(Protocol):
    """Sets of islands, each tried once when it is first asked for."""

    @property
    def search(self) -> PredictsTime: ...

    def within(self, floats: Iterable[Layer]) -> bool:
        """Whether INT8 with these layers in float keeps to the limit."""

    def known_within(self, floats: Iterable[Layer]) -> bool:
        """Whether it was tried already and kept to the limit."""


def shortest_within(trials: Trials, path: Sequence[Layer]) -> None:
    """Try parts of the path from its beginning, by bisection, until the shortest that keeps to the
    limit is known; none beyond the whole path if that does not."""
    if trials.within(()) or not trials.within(path):
        return
    low, high = 0, len(path)  # `low` layers in float are too few, `high` enough
    while high - low > 1:
        middle = (low + high) // 2
        if trials.within(path[:middle]):
            high = middle
        else:
            low = middle


def drop_costly(trials: Trials, path: Sequence[Layer]) -> None:
    """Try without the islands that cost the most time, one after the other, starting from the
    shortest part of the path that is known to keep to the limit; and the part of the path that is
    predicted to be the fastest, should float win somewhere on it."""
    good = [k for k in range(len(path) + 1) if trials.known_within(path[:k])]
    if not good:
        return
    kept = list(path[: good[0]])
    gains = {layer: _saved(trials.search, kept, layer) for layer in kept}
    for layer in sorted(gains, key=lambda layer: -gains[layer])[:_MOST_DROPPED]:
        rest = [other for other in kept if other != layer]
        if gains[layer] > 0 and trials.within(rest):
            kept = rest
    fastest = min(range(good[0], len(path) + 1), key=lambda k: trials.search.time(path[:k]))
    trials.within(path[:fastest])


def _saved(search: PredictsTime, kept: Sequence[Layer], layer: Layer) -> float:
    """The predicted microseconds that INT8 saves for `layer`, one of those `kept` in float."""
    without = [other for other in kept if other != layer]
    return search.time(kept) - search.time(without)
