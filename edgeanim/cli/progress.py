"""Progress on the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import monotonic

import click

from edgeanim.core.errors import printable
from edgeanim.core.interruption import raise_unacknowledged

_WIDEST = 100


class TerminalProgress:
    """Progress on standard error: a bar on a terminal, a line per finished stage elsewhere. Titles
    and notes may hold a stranger's names. An interruption that was lost is raised again here."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._title = ""
        self._total: int | None = None
        self._count = 0
        self._started = 0.0
        self._worked = 0.0

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the stage that is open; one that did not end leaves its bar, and a new line."""
        if kind is None:
            self.done()
        elif self._tty and self._title:
            click.echo(err=True)

    def stage(self, title: str, total: int | None = None) -> None:
        """Begin a stage; an unfinished one before it is closed."""
        raise_unacknowledged()
        if self._title:
            self.done()
        self._title, self._total, self._count = printable(title), total, 0
        self._started, self._worked = monotonic(), _processor_seconds()
        self._draw("")

    def step(self, count: int = 1, note: str = "") -> None:
        """Advance the bar."""
        raise_unacknowledged()
        self._count += count
        self._draw(note)

    def done(self, note: str = "") -> None:
        """Close the stage with its time, on the clock and of the processor."""
        if not self._title:
            return
        seconds = monotonic() - self._started
        end = "\r\x1b[K" if self._tty else ""
        # What an orphan did is counted no more.
        work = max(_processor_seconds() - self._worked, 0.0)
        tail = f"  {printable(note)}" if note else ""
        click.echo(f"{end}{self._title:<44} {seconds:6.1f} s {work:6.1f} s CPU{tail}", err=True)
        self._title = ""

    def _draw(self, note: str) -> None:
        if not self._tty:
            return
        bar = ""
        if self._total:
            filled = min(20, 20 * self._count // self._total)
            bar = f" [{'=' * filled}{' ' * (20 - filled)}] {self._count}/{self._total}"
        text = f"{self._title}{bar} {printable(note)}"[: _columns() - 1]
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _columns() -> int:
    """How wide a line may be that the next is drawn over: on a narrower terminal it would go on in
    a second line, which stays. Asked each time, since windows change their size."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        known = 0
    return min(known or _WIDEST, _WIDEST)


def _processor_seconds() -> float:
    """What this process and those that it began have used so far: on a busy machine this is what
    says how much work a stage is. Those that still run count too, or all that they did would be
    added to the stage in which they end."""
    spent = sum(os.times()[:4])
    if _has_children():
        import psutil

        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                spent += sum(child.cpu_times()[:4])
    return spent


def _has_children() -> bool:
    """Whether there is a process that this one began. Few commands begin one, and psutil, which
    looks through all of the system's, takes long to import on a board."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
