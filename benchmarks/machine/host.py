"""The machine as its sensors see it: files below a root, outputs of commands, clocks.

Everything a sensor learns comes through a `Host`, so that a test's folder or a recorded run
(`benchmarks.machine.recording`) can stand in for the machine.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Where boards keep their tools, beside what the user's PATH names.
_TOOL_FOLDERS = ("/usr/bin", "/usr/sbin", "/opt/vc/bin")
_COMMAND_SECONDS = 3.0
_LAST_SECONDS = 2.0
_SAID = 200


class Unreadable(Exception):
    """A source is not there, not allowed or not in the form that is documented."""


@dataclass(frozen=True)
class Clocks:
    """Wall clock, steady clock, and CPU time of this process and its ended children, in seconds."""

    wall: float
    steady: float
    own_cpu: float

    @classmethod
    def now(cls) -> Clocks:
        """Read all three."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return cls(time.time(), time.monotonic(), own)


class Stream:
    """The newest line of a command that keeps printing."""

    def latest(self) -> str:
        """Its newest whole line; `Unreadable` if there is none."""
        raise NotImplementedError

    def close(self) -> None:
        """End the command."""


class Host:
    """This machine, or the tree below `root`. `libraries` names other files for shared libraries.

    Names of files are relative to the root and have no leading slash.
    """

    #: What stands in for the machine, where something does.
    replayed: str | None = None

    def __init__(
        self, root: Path = Path("/"), *, libraries: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        self.ran: set[str] = set()
        self._libraries = libraries or {}
        self._environment = os.environ | {
            "LC_ALL": "C",
            "PATH": os.pathsep.join((os.environ.get("PATH", ""), *_TOOL_FOLDERS)),
        }

    def advance(self, *, last: bool = False) -> None:
        """A new look at the machine begins, the `last` one of the run: recordings turn a page."""

    def clocks(self) -> Clocks:
        """The clocks now."""
        return Clocks.now()

    def text(self, name: str) -> str:
        """The text of a file; `Unreadable` if there is none."""
        try:
            text = (self.root / name).read_text(errors="replace")
        except PermissionError as error:
            raise Unreadable(f"/{name}: not allowed; root may read it") from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise Unreadable(f"/{name}: {reason or error}") from error
        if not text.strip("\0 \n"):
            raise Unreadable(f"/{name} is empty")
        return text

    def glob(self, pattern: str) -> list[str]:
        """The files that match, sorted."""
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.glob(pattern))

    def hwmon(self, chip: str) -> Iterator[str]:
        """The folders of the hwmon devices that the kernel calls `chip`; those after the one that
        is wanted are not looked at."""
        for name in self.glob("sys/class/hwmon/hwmon*/name"):
            if self.text(name).strip() == chip:
                yield name.rpartition("/")[0]

    def run(self, *command: str) -> str:
        """What a command prints; `Unreadable` if it is absent, fails or takes longer than 3 s."""
        self.ran.add(command[0])
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMMAND_SECONDS,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise Unreadable(f"{command[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise Unreadable(
                f"{command[0]} did not answer within {_COMMAND_SECONDS:g} s"
            ) from error
        except OSError as error:
            raise Unreadable(f"{command[0]}: {error.strerror or error}") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing")[:_SAID]
            raise Unreadable(f"{command[0]} ended with {done.returncode} and said: {said}")
        return done.stdout

    def follow(self, *command: str) -> Stream:
        """Start a command that prints a line again and again; `Unreadable` if it is absent."""
        self.ran.add(command[0])
        return _Process(command, self._environment)

    def library(self, name: str) -> ctypes.CDLL:
        """A shared library; `Unreadable` if it is absent."""
        try:
            return ctypes.CDLL(self._libraries.get(name, name))
        except OSError as error:
            raise Unreadable(f"{name} is not installed") from error


class _Process(Stream):
    """A running command, read by a thread of its own."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._name = command[0]
        self._line: str | None = None
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Unreadable(f"{self._name} is not installed") from error
        except OSError as error:
            raise Unreadable(f"{self._name}: {error.strerror or error}") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def latest(self) -> str:
        if self._process.poll() is not None:
            raise Unreadable(f"{self._name} ended with {self._process.returncode}")
        if self._line is None:
            raise Unreadable(f"{self._name} has printed nothing yet")
        return self._line

    def close(self) -> None:
        # The whole group: what a script started holds the pipe open, and the reader with it.
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_SECONDS)
                break
        self._reader.join(_LAST_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n") and line.strip():
                    self._line = line


def number(text: str) -> float:
    """A finite number; `Unreadable` if the text is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Unreadable(f"{text.strip()[:40]!r} is not a number")
    return value
