"""Signals still reach us when native code has been at work."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def own_signal_stack() -> Iterator[None]:
    """Puts back this thread's alternate signal stack after the block.

    OpenVINO's CPU plugin sets one of its own, frees it when it goes, and puts back the one before.
    Of two that go in the order in which they came, the second puts back what the first has freed:
    the next signal, Ctrl-C say, then ends the process with a segmentation fault.
    """
    libc, before = ctypes.CDLL(None), _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
