"""What goes on until Ctrl-C, or whoever stops a service, ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

_ENDS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def until_interrupted(endless: bool, *, shown: bool = False) -> Iterator[Callable[[], bool]]:
    """Tells whether Ctrl-C has asked for the end of what is `endless`, or a plain `kill`, as who
    stops a service sends it, or a terminal that was closed: that is no interruption, and what was
    made is kept. A second one interrupts, and so does the first what is not endless, or has not
    begun: has not asked yet. So does the first `kill` what is only `shown`: nothing of it is kept,
    and whoever shows it may have stopped reading."""
    asked, begun = threading.Event(), threading.Event()
    numbers = _ENDS[:1] if shown else _ENDS
    found = {number: signal.getsignal(number) for number in numbers} if endless else {}
    heeded = {number: end for number, end in found.items() if callable(end)}  # others are ignored

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set() or not begun.is_set():
            heeded[number](number, frame)
        asked.set()

    def stop() -> bool:
        begun.set()
        return asked.is_set()

    if signal.SIGINT in heeded:
        click.echo("Ctrl-C ends it.", err=True)
    for number in heeded:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, end in heeded.items():
            signal.signal(number, end)
