"""Many pieces of work that leave Python's lock alone, by several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgeanim.core.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, progress: Progress
) -> list[Result]:
    """`work` of each of the `items`, in their order; a step of `progress` for each.

    After Ctrl-C, or an error whose turn has come, nothing new is begun. What swaps the process's
    file descriptors, as `quiet` does, is not for threads.
    """
    results = []
    with ThreadPoolExecutor(threads) as pool:
        for result in pool.map(work, items):
            results.append(result)
            progress.step()
    return results
