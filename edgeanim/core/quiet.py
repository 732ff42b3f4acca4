"""Keep other packages' chatter away from our users without losing it when something goes wrong."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("edgeanim")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, prints and native stderr of third-party code inside the block.

    What was printed goes to the debug log (`edgeanim -v`). Swaps the process's file descriptors 1
    and 2, so wrap calls into heavy packages only, never a block that reports progress.
    """
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
