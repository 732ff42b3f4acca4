"""The standard streams as whoever started us may leave them: closed, or read by nobody any more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import ClassVar

_OUT, _LAST = 1, 2  # standard output and standard error


def prepare() -> None:
    """Make all three fit to be written to, before anything is.

    Names of files that are not UTF-8 are printed with escapes, where Python would fail.
    """
    _open_what_is_closed()
    made = sys.stdout
    if isinstance(made, io.TextIOWrapper) and not isinstance(made, _Read):
        errors = "backslashreplace" if made.errors == "strict" else made.errors
        sys.stdout = _Read(
            made.buffer,
            made.encoding,
            errors,
            line_buffering=made.line_buffering,
            write_through=made.write_through,
        )
    told = sys.stderr
    if told is None:
        sys.stderr = _Aside(os.fdopen(_LAST, "wb", closefd=False), errors="backslashreplace")
    elif isinstance(told, io.TextIOWrapper):
        sys.stderr = _Aside(told.buffer, told.encoding, told.errors, line_buffering=True)


def drop(number: int) -> None:
    """Let all that is still written to this file descriptor go nowhere: at exit, Python would try
    once more and fail with an error of its own."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


class _Forgiving(io.TextIOWrapper):
    """A standard stream that goes nowhere once writing to it has failed in a way that is no matter:
    with an error of the kind `forgiven`."""

    number: ClassVar[int]
    forgiven: ClassVar[type[OSError]]

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except self.forgiven:
            drop(self.number)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except self.forgiven:
            drop(self.number)
            with suppress(OSError):
                super().flush()


class _Read(_Forgiving):
    """Standard output. What reads it (head, less) may go away before its end: the work goes on, and
    a gate that fails ends it with the code that stands for that."""

    number, forgiven = _OUT, BrokenPipeError


class _Aside(_Forgiving):
    """Standard error. It tells of the work and is none of it: a reader that went away or a full
    disk there must not end a compilation, with a code that stands for something else."""

    number, forgiven = _LAST, OSError


def _open_what_is_closed() -> None:
    """The first files that we open would get the numbers of closed streams, and with them all that
    native code prints. `sys.__stdout__` stays `None`, which tells that it was closed."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _LAST:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or _Read(
        os.fdopen(_OUT, "wb", closefd=False), errors="backslashreplace"
    )
