"""Steps of one stream of work at the same time, by prefetching: each is one item ahead of the next.

Decoders, networks and encoders let go of Python's lock while they work, so threads are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")

# How often is asked whether to go on waiting.
_ASKED_S = 0.1
# How long the end waits for steps to finish what they are at. One may hang in a read, of a pipe
# into which nobody writes any more.
_LAST_SECONDS = 3.0


class Overlap:
    """A block in which iterators work ahead of each other; with it ends all that they still do.

    What is not taken by then is lost. A step that hangs for more than 3 s is left behind: it makes
    nothing more.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._over = False
        self._threads: list[Thread] = []

    def __enter__(self) -> Overlap:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        until = time.monotonic() + _LAST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def ahead(self, source: Iterable[T], stop: Callable[[], bool] = lambda: False) -> Iterator[T]:
        """The items of `source`, in their order. A thread makes the next one while the one before
        it is used, and none further; what `source` raises, the iterator raises in its place. It
        ends instead of waiting any longer for the next one when `stop` says so."""
        stream = _Stream[T](iter(source), self._changed, lambda: self._over, stop)
        thread = Thread(target=stream.make, name="edgeanim-ahead", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more of them are allowed here: one after the other, then
            return iter(source)
        self._threads.append(thread)
        return stream


class _Stream(Iterator[T], Generic[T]):
    """One step's items on their way from its thread to the next step's."""

    def __init__(
        self,
        source: Iterator[T],
        changed: Condition,
        over: Callable[[], bool],
        stop: Callable[[], bool],
    ) -> None:
        self._source, self._changed, self._over, self._stop = source, changed, over, stop
        self._wanted = True
        self._made: list[T] = []
        self._end: BaseException | None = None

    def make(self) -> None:
        """The thread's work: an item whenever the one before it has been taken."""
        while self._wait_for_demand():
            try:
                item = next(self._source)
            except BaseException as error:
                self._finish(error)
                return
            with self._changed:
                self._made.append(item)
                self._changed.notify_all()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __next__(self) -> T:
        while not self._has_next_or_end(_ASKED_S):
            if self._stop():
                raise StopIteration
        with self._changed:
            if self._made:
                self._wanted = True
                self._changed.notify_all()
                return self._made.pop()
            raise StopIteration if self._end is None else self._end

    def _has_next_or_end(self, within_s: float) -> bool:
        """Whether there is an item, or nothing more to wait for."""
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._made) or self._end is not None or self._over(), within_s
            )

    def _wait_for_demand(self) -> bool:
        """Wait until an item is wanted; whether one still is."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._over())
            self._wanted = False
            return not self._over()

    def _finish(self, end: BaseException) -> None:
        with self._changed:
            self._end = end
            self._changed.notify_all()
