"""Ctrl-C, or a signal that ends this process: it is not lost, and leaves what it is said to leave.

It comes as an exception wherever the main thread happens to be. Some packages catch everything
while they are imported, and Python itself only prints what is raised while it destroys an object.
So the command line notes what it was asked for, and raises it again where our own work goes on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_asked: list[BaseException] = []
_kept = threading.Event()
_clearing: list[None] = []


def end_with(error: BaseException) -> None:
    """Raise `error`, for the handler of a signal, and note it until it is acknowledged; while
    something is cleared away it is noted alone."""
    _asked[:] = [error]
    if not _clearing:
        raise error


@contextmanager
def clearing_away() -> Iterator[None]:
    """Around what removes unfinished files: what is to end this process waits until they are gone.
    Who is impatient presses Ctrl-C again meanwhile, and half of them would stay."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal is handled here
        return
    _clearing.append(None)
    try:
        yield
    finally:
        _clearing.pop()
        if not _clearing:
            raise_unacknowledged()


def acknowledge() -> None:
    """For whoever has caught it and goes on for a reason."""
    _asked.clear()


def raise_unacknowledged() -> None:
    """Raise again what was noted and not acknowledged; in the main thread alone, since others end
    when that ends them. Nothing while an exception is handled: it may be this one, on its way."""
    handled = sys.exc_info()[1] is not None
    if _asked and not handled and threading.current_thread() is threading.main_thread():
        raise _asked[0]


def note_kept() -> None:
    """What is finished now will not be done again by another run of the same command."""
    _kept.set()


def anything_kept() -> bool:
    """Whether anything was: else there is nothing that the next run could go on with."""
    return _kept.is_set()
