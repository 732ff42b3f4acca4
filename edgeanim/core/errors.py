"""Every error a user can cause, with the exit code and the remedy that belong to it.

    EdgeanimError
    ├── GateFailed        1   a measured figure misses the limit that was asked for
    ├── UsageError        2   the request itself makes no sense
    ├── BadInput          3   a model, image, clip, report, recipe or bundle is not usable
    ├── MissingComponent  4   a package is not installed; carries the exact install line
    └── DeviceFailed      5   this machine or board could not do it (memory, disk, crash)

An error is one paragraph: *what* is wrong, *where*, and *what to do next* (the hint).
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ClassVar, ParamSpec

from edgeanim.core.requirements import install_line

EXIT_MISTAKE = 6
"""An error that is none of these: a mistake of edgeanim's own, told with its traceback."""
EXIT_INTERRUPTED = 130

P = ParamSpec("P")


class EdgeanimError(Exception):
    """Base of all errors that are shown to the user without a traceback.

    `what` is a sentence, `where` a file, node or option, `hint` the next step to take.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what.rstrip()
        self.where = None if where is None else str(where)
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}{self.what}{hint}"


class GateFailed(EdgeanimError):
    """A measured figure misses its limit (parity, drift, latency, `--fail-on`)."""

    exit_code = 1


class UsageError(EdgeanimError):
    """The request contradicts itself or asks for something that does not exist."""

    exit_code = 2


class BadInput(EdgeanimError):
    """Something that came from outside is missing, damaged or not what it claims to be."""

    exit_code = 3


class MissingComponent(EdgeanimError):
    """An optional package is absent. `extra` is the name of the extra that brings it."""

    exit_code = 4

    def __init__(self, what: str, *, extra: str, where: object = None) -> None:
        super().__init__(what, where=where, hint=f"Install it with: {install_line(extra)}")
        self.extra = extra


class DeviceFailed(EdgeanimError):
    """The machine could not carry out a valid request."""

    exit_code = 5


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system refusal around `path` into an error that says what to do, and so
    what Python refuses by itself: a stranger's text, taken for a path, need not be one."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error
    except ValueError as error:
        if _can_be_a_name(str(path)):
            raise
        raise BadInput("This cannot be the name of a file.", where=ascii(str(path))) from error


def _can_be_a_name(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a half of a pair of surrogates
        return False


def disk_error(error: OSError, path: Path | None = None) -> EdgeanimError:
    """What an operating-system refusal around `path` means to the user."""
    where = error.filename or path
    if isinstance(error, FileNotFoundError) and _NO_TEMPORARY in str(error):
        hint = "Free some space, or set TMPDIR to a folder that can be written to."
        return DeviceFailed(
            "No folder for temporary files can be written to: they are full or for reading only.",
            hint=hint,
        )
    if isinstance(error, FileNotFoundError):
        return BadInput("No such file or folder.", where=where)
    if isinstance(error, IsADirectoryError):
        return BadInput("This is a folder; a file is needed here.", where=where)
    if isinstance(error, (NotADirectoryError, FileExistsError)):  # the latter by making folders
        return BadInput("This is a file; a folder is needed here.", where=where)
    if isinstance(error, PermissionError):
        hint = "Check who owns it and its access rights."
        return BadInput("Permission denied.", where=where, hint=hint)
    if isinstance(error, io.UnsupportedOperation) or error.errno == errno.ESPIPE:
        hint = "Save what comes from it in a file, and name that."
        return BadInput("This is a pipe, and a file is needed here.", where=where, hint=hint)
    if error.errno == errno.EROFS:
        hint = "Name a place elsewhere, or mount it for writing."
        return BadInput("This file system is mounted for reading only.", where=where, hint=hint)
    if error.errno == errno.ENAMETOOLONG:
        return BadInput("This name is too long for a file.", where=where)
    if error.errno == errno.ELOOP:
        return BadInput("This is a link that leads back to itself.", where=where)
    if is_full(error):
        return DeviceFailed(
            "The disk is full; nothing was left half-written.",
            where=error.filename2 or where,  # of a copy, the second is what was to be written
            hint="Free some space and run the same command again: finished stages are kept.",
        )
    return DeviceFailed(f"The operating system refused: {error.strerror or error}.", where=where)


def is_full(error: BaseException | None) -> bool:
    """Whether it is a disk that has no room left, or no more for this user."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


# `tempfile` tells it as a file that is not there, without a name.
_NO_TEMPORARY = "No usable temporary directory"

# Python and NumPy have an error of its own for it; PyTorch, OpenCV and native code have words.
_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|Insufficient memory|(can't|[Cc]annot) allocate memory"
    r"|_ALLOC_FAILED|failed to map segment"
)

# OpenVINO's errors begin like this.
_PLACE = re.compile(r"Exception from \S+:\d+:?|Check '.*' failed at \S+:\d+:?")


def reports_errors(main: Callable[P, int]) -> Callable[P, int]:
    """A module's `main` that reports an `EdgeanimError`, or Ctrl-C, on standard error and returns
    its code."""

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except EdgeanimError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return EXIT_INTERRUPTED

    return run


def keep_interruption(error: BaseException) -> None:
    """Raise `KeyboardInterrupt` if Ctrl-C is behind `error`: a native module that it reaches while
    it starts reports an import that failed, an exporter a model that cannot be exported."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__cause__ or behind.__context__
    if behind is not None:
        raise KeyboardInterrupt from error


@contextmanager
def foreign_errors(translate: Callable[[BaseException], EdgeanimError]) -> Iterator[None]:
    """Around code of the user's own: whatever it raises, `sys.exit` included, becomes what
    `translate` makes of it.
    What ends this process for a signal (see `cli.main`) passes, and so does a lack of memory."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except (Exception, SystemExit) as error:
        keep_interruption(error)
        if _lacks_memory(error):
            raise
        if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
            raise
        raise translate(error) from error


@contextmanager
def memory_errors(what: str, hint: str | None = None) -> Iterator[None]:
    """Turn a lack of memory inside the block, whoever tells it, into `DeviceFailed`."""
    try:
        yield
    except Exception as error:
        if not _lacks_memory(error):
            raise
        raise DeviceFailed(what, hint=hint) from error


def _lacks_memory(error: BaseException) -> bool:
    # OpenCV's error is of no kind but its own, which is not asked for here: it takes long to load.
    if isinstance(error, (RuntimeError, ImportError)) or type(error).__module__ == "cv2":
        return _NO_MEMORY.search(str(error)) is not None
    return isinstance(error, MemoryError)


@contextmanager
def named(where: object, kind: type[EdgeanimError] = BadInput) -> Iterator[None]:
    """Make errors of a `kind` bad input that names `where`, which the user knows, and not a file or
    line of ours. A full disk is no fault of any input, and stays what it is."""
    try:
        yield
    except kind as error:
        if is_full(error.__cause__):
            raise
        raise BadInput(error.what, where=where, hint=error.hint) from error


def printable(text: str) -> str:
    """`text`, a line, with its control characters written out: a stranger's names could steer a
    terminal, or begin a line that looks like one of ours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says more than where in a runtime's own sources it
    was raised, with the next one if it ends in a colon, cut at 300 characters; runtimes print whole
    stacks."""
    lines = [line.strip() for line in (str(error).strip() or type(error).__name__).splitlines()]
    telling = [line for line in lines if line and not _PLACE.fullmatch(line)] or lines
    return " ".join(telling[: 2 if telling[0].endswith(":") else 1])[:300]
