"""What goes on until Ctrl-C ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click


@contextmanager
def until_interrupted(endless: bool) -> Iterator[Callable[[], bool]]:
    """Tells whether Ctrl-C has asked for the end of what is `endless`: that is no interruption, and
    what was made is kept. A second one interrupts, and so does the first what is not endless, or
    has not begun: has not asked yet."""
    asked, interrupt = threading.Event(), signal.getsignal(signal.SIGINT)
    begun = threading.Event()
    if not endless or not callable(interrupt):  # Ctrl-C is ignored
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set() or not begun.is_set():
            interrupt(number, frame)
        asked.set()

    def stop() -> bool:
        begun.set()
        return asked.is_set()

    click.echo("Ctrl-C ends it.", err=True)
    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, interrupt)
