"""How many threads work: in pools of ours, and in those that libraries keep for a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from edgeanim.core.packages import require
from edgeanim.core.progress import Progress

_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, progress: Progress
) -> list[Result]:
    """`work` of each of the `items`, in their order; a step of `progress` for each.

    After Ctrl-C, or an error whose turn has come, nothing new is begun.
    """
    results = []
    with ThreadPoolExecutor(threads) as pool:
        for result in pool.map(work, items):
            results.append(result)
            progress.step()
    return results


def thread_settings(count: int) -> dict[str, str]:
    """The part of a new process's environment by which libraries keep `count` threads."""
    return dict.fromkeys(_SETTINGS, str(count))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch by `count` threads, and by as many as before after it: one, say, where sums are not
    to depend on how many cores there are, nor a step to stall under other load."""
    import torch

    with _threads(count, torch.get_num_threads, torch.set_num_threads):
        yield


@contextmanager
def opencv_threads(count: int | None) -> Iterator[None]:
    """OpenCV by `count` threads, and by as many as before after it; `None` leaves it alone. The
    number is the whole process's: for commands and processes of ours, not for callers of ours."""
    if count is None:
        yield
        return
    import cv2

    with _threads(count, cv2.getNumThreads, cv2.setNumThreads):
        yield


@contextmanager
def one_blas_thread(extra: str = "compress") -> Iterator[None]:
    """NumPy's linear algebra by one thread: its sums do not depend on how many processors there
    are, and its threads do not wait in turn for a processor that something else keeps busy, which
    took twice as long as one alone. `extra` is whose work this is."""
    require("Linear algebra by one thread", "threadpoolctl", extra=extra)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@contextmanager
def _threads(count: int, get: Callable[[], int], change: Callable[[int], object]) -> Iterator[None]:
    before = get()
    change(count)
    try:
        yield
    finally:
        change(before)
