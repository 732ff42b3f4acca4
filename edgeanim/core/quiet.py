"""Keep other packages' chatter away from our users without losing it when something goes wrong."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

log = logging.getLogger("edgeanim")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, prints, native stderr and logged errors of third-party code inside the
    block. What other threads log meanwhile is heard, but by handlers that print it.

    What was printed goes to the debug log (`edgeanim -v`). Swaps the process's file descriptors 1
    and 2, so wrap calls into heavy packages only, never a block that reports progress. Blocks of
    several threads share one swap, which the last of them to end undoes.
    """
    with _SILENCE:
        yield


class _Silence:
    """What holds while any block is entered."""

    def __init__(self) -> None:
        self._lock, self._begun = threading.Lock(), ExitStack()
        self._blocks: list[int] = []  # the thread of each

    def __enter__(self) -> None:
        with self._lock:
            if not self._blocks:
                self._begun.enter_context(_silenced(self._is_heard))
            self._blocks.append(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks.remove(threading.get_ident())
            if not self._blocks:
                self._begun.close()

    def _is_heard(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.ERROR or record.thread not in self._blocks


_SILENCE = _Silence()


@contextmanager
def _silenced(is_heard: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    with _sink() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _flush()
        saved = _standing()
        handlers = list(logging.root.handlers)
        try:
            for fd in saved:
                os.dup2(sink.fileno(), fd)
            for handler in handlers:
                handler.addFilter(is_heard)
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(is_heard)
            _flush()
            for fd, old in saved.items():
                os.dup2(old, fd)
                os.close(old)
            _log_printed(sink)


def _sink() -> IO[bytes]:
    """What takes in the prints: nowhere, if no temporary file can be made."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


def _log_printed(sink: IO[bytes]) -> None:
    if log.isEnabledFor(logging.DEBUG):
        sink.seek(0)
        for line in sink.read().decode(errors="replace").splitlines():
            log.debug("%s", line)


def _flush() -> None:
    """Whoever started us may have left no streams, or closed or replaced them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.flush()


def _standing() -> dict[int, int]:
    """Duplicates of the descriptors 1 and 2, by their number, as far as they are standard output
    and error: where these were closed, a file of our caller's may have got the number since."""
    saved = {}
    for fd, stream in ((1, sys.__stdout__), (2, sys.__stderr__)):
        if stream is not None:
            with suppress(OSError):
                saved[fd] = os.dup(fd)
    return saved
