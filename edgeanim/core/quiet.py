"""Keep other packages' chatter away from our users without losing it when something goes wrong."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

log = logging.getLogger("edgeanim")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, prints and native stderr of third-party code inside the block.

    What was printed goes to the debug log (`edgeanim -v`). Swaps the process's file descriptors 1
    and 2, so wrap calls into heavy packages only, never a block that reports progress. Blocks of
    several threads share one swap, which the last of them to end undoes.
    """
    with _SILENCE:
        yield


class _Silence:
    """What holds while any block is entered."""

    def __init__(self) -> None:
        self._lock, self._blocks, self._begun = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._blocks:
                self._begun.enter_context(_silenced())
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                self._begun.close()


_SILENCE = _Silence()


@contextmanager
def _silenced() -> Iterator[None]:
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        saved = [os.dup(fd) for fd in (1, 2)]
        level = logging.root.manager.disable
        try:
            for fd in (1, 2):
                os.dup2(sink.fileno(), fd)
            logging.disable(logging.ERROR)
            yield
        finally:
            logging.disable(level)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for fd, old in zip((1, 2), saved, strict=True):
                os.dup2(old, fd)
                os.close(old)
            if log.isEnabledFor(logging.DEBUG):
                sink.seek(0)
                for line in sink.read().decode(errors="replace").splitlines():
                    log.debug("%s", line)
