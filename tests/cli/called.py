"""The command line in a process of its own, as a stranger calls it."""

from __future__ import annotations

import subprocess
import sys


def edgeanim(*args: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeanim", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def fails(code: int, *args: object, says: str) -> None:
    """The command ends with this code and says this, in one paragraph and without a traceback."""
    done = edgeanim(*args)
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    assert says.lower() in " ".join(done.stderr.lower().split())
