"""Scratch folders: they go when their block ends, and those of killed processes with the next."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from edgeanim.core.errors import disk_error
from edgeanim.core.interruption import clearing_away
from edgeanim.core.locks import held_while_open, remove_unheld

# A folder that was made just now may not be held yet.
_SETTLED_SECONDS = 60


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A folder for temporary files, named by its `purpose`, that is there within the block.

    What a process that was killed has left of the same purpose, tens of megabytes each, goes before
    it is made. `DeviceFailed` if it cannot be made.
    """
    prefix = f"edgeanim-scratch-{purpose}-"
    try:
        _sweep(Path(tempfile.gettempdir()), prefix)
        folder = Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise disk_error(error) from error
    remove = partial(_remove, folder, os.getpid())
    atexit.register(remove)  # a block in a thread that is dropped then never ends
    try:
        with held_while_open(folder):
            yield folder
    finally:
        atexit.unregister(remove)
        with clearing_away():
            remove()


def _remove(folder: Path, process: int) -> None:
    """Not in a fork of the `process` that made it: that ends its own copy of the block."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # another run sweeps as well
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if not ours or time.time() - found.st_mtime < _SETTLED_SECONDS:
                continue
            remove_unheld(folder)
