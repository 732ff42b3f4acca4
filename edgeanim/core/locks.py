"""Lock files: one holder at a time, be it a thread or a process, and free however that ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
except ImportError:  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`, made for it and removed afterwards; yields whether it is held.

    It is not if somebody else holds it and this is not to `wait`, nor where the system or the file
    system has no such locks (Windows, some network drives).
    """
    handle = _taken(path, wait)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)
            # Closing does not do: a child that was forked meanwhile has it open as well.
            flock(handle, LOCK_UN)
            os.close(handle)


@contextmanager
def held_while_open(folder: Path, *, alone: bool = False) -> Iterator[bool]:
    """Hold a folder itself, without waiting; yields whether it is held. Several may hold it, unless
    one wants it `alone`. It is free once the process that held it is gone, however that ended."""
    if not HAS_LOCKS:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            flock(handle, (LOCK_EX if alone else LOCK_SH) | LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def remove_unheld(folder: Path) -> None:
    """Remove a folder that nobody holds; as far as that is possible, without an error."""
    with held_while_open(folder, alone=True) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)


def _taken(path: Path, wait: bool) -> int | None:
    if not HAS_LOCKS:
        return None
    while True:
        handle, held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666), False
        try:
            flock(handle, LOCK_EX if wait else LOCK_EX | LOCK_NB)
            # Whoever held it has removed the file, and others may wait at a new one by now.
            held = _is_at(path, handle)
        except BlockingIOError:
            return None
        except OSError:
            path.unlink(missing_ok=True)
            return None
        finally:
            if not held:
                os.close(handle)
        if held:
            return handle


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
