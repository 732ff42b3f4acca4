"""Disjoint sets of numbers that are united, one pair after the other (union-find)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class DisjointSets:
    """The numbers from 0 on, each in a set of its own until it is united with others. The least
    number of a set stands for it."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return len(self._parent)

    def new(self, count: int) -> Ids:
        """So many numbers more."""
        first = self.count
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def union(self, one: Ids, other: Ids) -> None:
        """Put each number of `one` into the set of its counterpart in `other`, or of its only
        one."""
        for a, b in np.broadcast(one, other):
            low, high = sorted((self.find(int(a)), self.find(int(b))))
            self._parent[high] = low

    def root(self, ids: Ids) -> Ids:
        """What stands for the set of each number, in the shape of `ids`."""
        each, where = np.unique(ids, return_inverse=True)
        roots = np.array([self.find(i) for i in each.tolist()], np.int64)
        return np.asarray(roots[where]).reshape(ids.shape)

    def find(self, i: int) -> int:
        """What stands for the set of a number."""
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i
