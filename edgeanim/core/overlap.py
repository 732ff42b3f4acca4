"""Steps of one stream of work at the same time, by prefetching: each is one item ahead of the next.
What comes whether or not one is ready for it, as from a camera, is taken by a thread, too.

Decoders, networks and encoders let go of Python's lock while they work, so threads are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread, current_thread
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
        self._left_out = 0

    def __enter__(self) -> Overlap:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        until = time.monotonic() + _LAST_SECONDS
        for thread in self._threads:
            if thread is not current_thread():  # it may be the one that clears away what was lost
                thread.join(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """Let nothing more be made, nor waited for; what is at work is left to finish."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def ahead(self, source: Iterable[T], stop: Callable[[], bool] = lambda: False) -> Iterator[T]:
        """The items of `source`, in their order. A thread makes the next one while the one before
        it is used, and none further; what `source` raises, the iterator raises in its place. It
        ends instead of waiting any longer for the next one when `stop` says so. What is the
        `newest` would only grow old."""
        if isinstance(source, _Newest):
            return source
        return self._started(_Stream[T](iter(source), self._changed, lambda: self._over, stop))

    def newest(self, source: Iterable[T]) -> Iterator[T]:
        """The first item of `source`, from then on the latest whenever one is asked for, each once,
        and the last. A thread takes them as they come, and those for which nobody asks in time are
        left out."""
        stream = _Newest[T](iter(source), self._changed, lambda: self._over)
        stream.leave_out = self._leave_out
        return self._started(stream)

    @property
    def left_out(self) -> int:
        """How many items were not the newest any more when the next was asked for."""
        return self._left_out

    def _leave_out(self, count: int) -> None:
        self._left_out += count

    def _started(self, stream: _Stream[T]) -> Iterator[T]:
        thread = Thread(target=stream.make, name="edgeanim-ahead", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more of them are allowed here: one after the other, then
            return stream.source
        self._threads.append(thread)
        return stream


class _Stream(Iterator[T], Generic[T]):
    """One step's items on their way from its thread to the next step's."""

    def __init__(
        self,
        source: Iterator[T],
        changed: Condition,
        over: Callable[[], bool],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.source, self._changed, self._over, self._stop = source, changed, over, stop
        self._wanted = True
        self._made: list[T] = []
        self._end: BaseException | None = None

    def make(self) -> None:
        """The thread's work: an item whenever the one before it has been taken."""
        while self._wait_for_demand():
            try:
                item = next(self.source)
            except BaseException as error:
                self._finish(error)
                return
            with self._changed:
                self._keep(item)
                self._changed.notify_all()
        close = getattr(self.source, "close", None)
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

    def _keep(self, item: T) -> None:
        self._made.append(item)

    def _finish(self, end: BaseException) -> None:
        with self._changed:
            self._end = end
            self._changed.notify_all()


class _Newest(_Stream[T]):
    """Items that do not wait, but for the first: the next takes the place of one that was not asked
    for."""

    leave_out: Callable[[int], None]
    _begun = False

    def _wait_for_demand(self) -> bool:
        goes_on = super()._wait_for_demand()
        self._wanted = self._begun
        return goes_on

    def _keep(self, item: T) -> None:
        self._begun = True
        self.leave_out(len(self._made))
        self._made[:] = [item]
