"""The command line as a stranger calls it: in this process, or in one of its own."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from unittest.mock import patch

from edgeanim.cli.main import main


class _Kept(io.BytesIO):
    """Bytes that are still there when a stream that was laid over them is gone."""

    def close(self) -> None:
        pass


class _Printed(io.TextIOWrapper):
    """A stream for text that is kept."""

    def __init__(self) -> None:
        self._kept = _Kept()
        super().__init__(self._kept, encoding="utf-8", write_through=True)

    def text(self) -> str:
        return self._kept.getvalue().decode()


def edgeanim(*args: object) -> subprocess.CompletedProcess[str]:
    """The whole command line, errors and exit code too, without the start of another Python.

    What only a process of its own shows is for `edgeanim_apart`: imports in a fresh interpreter,
    signals, what happens at exit.
    """
    command = ["edgeanim", *map(str, args)]
    out, err = _Printed(), _Printed()
    code: object = None
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in signals}
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", command))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(command, code, out.text(), err.text())


# Ctrl-C is heard, though the tests themselves may run in the background or under nohup.
_HEARD = (
    "import os, signal, sys\n"
    "for number in (signal.SIGINT, signal.SIGHUP):\n"
    "    signal.signal(number, signal.SIG_DFL)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'edgeanim', *sys.argv[1:]])\n"
)


def edgeanim_started(
    *args: object, env: Mapping[str, str] | None = None, stdin: int | None = None
) -> subprocess.Popen[str]:
    """The command line in a process of its own that goes on, and that signals reach."""
    return subprocess.Popen(
        [sys.executable, "-c", _HEARD, *map(str, args)],
        stdin=stdin, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip


def edgeanim_apart(*args: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "edgeanim", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def fails(code: int, *args: object, says: str) -> None:
    """The command ends with this code and says this, in one paragraph and without a traceback."""
    refused(edgeanim(*args), code, says)


def refused(done: subprocess.CompletedProcess[str], code: int, says: str) -> None:
    """A command ended with this code and said this, in one paragraph and without a traceback."""
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    assert says.lower() in " ".join(done.stderr.lower().split())
