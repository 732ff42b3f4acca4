"""A link to a host: the system's own SSH client, with `stub.py` at the far end.

OpenSSH and its configuration decide how the host is reached, who we are there and whether it is the
host that it claims to be; nothing here prompts, opens a port, forwards anything or goes round a
host key. The command that the far shell sees is constant: all else goes through standard input.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any

from edgeanim.core.errors import DeviceFailed, MissingComponent
from edgeanim.targets.on.needs import VENV
from edgeanim.targets.on.places import SshHost

CONNECT_SECONDS = 15
# From the client's start to the far end's first words: a small board may swap.
GREETING_SECONDS = 90.0
HELLO = b"edgeanim-remote/1\n"
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
}
# The user's own environment for edgeanim if there is one: the system's Python may be too old.
_START = f'p="$HOME/{VENV[2:]}/bin/python"; [ -x "$p" ] || p=python3; exec "$p" -c "$0"'
_BOOTSTRAP = (
    "import sys;f=sys.stdin.buffer;"
    'exec(compile(f.read(int(f.readline())),"edgeanim-remote","exec"))'
)
_MAX_CHATTER = 1 << 16
_MAX_LINE = 4 << 20
_PYTHON = f"It needs Python 3.10 or later, as `python3` or in the environment {VENV}."
# What the client says last, and what to do about it.
_REMEDIES = (
    (
        "host key verification failed",
        "Connect once by hand and check its key, then run this again: {by_hand}",
    ),
    (
        "permission denied",
        "Nothing here asks for a password: set up a key, for example with ssh-copy-id, until "
        "this works without one: {by_hand}",
    ),
    ("could not resolve", "Check the name, or add it to the configuration of ssh."),
    ("connection refused", "Is its SSH server running, and is the port right?"),
    ("timed out", "Is it switched on and on this network?"),
    ("no route to host", "Is it switched on and on this network?"),
    ("not found", _PYTHON),
    ("syntaxerror", _PYTHON),
)


class Unreachable(DeviceFailed):
    """No link came about."""


class LinkLost(DeviceFailed):
    """The link broke in the middle; what was started there goes on."""


class Link:
    """One connection. Requests are answered in order; whatever goes wrong closes it."""

    def __init__(self, host: SshHost) -> None:
        self.host = host
        self._greeted = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                ssh_command(host),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is ours to handle, not the client's
            )
        except BaseException:
            self._errors.close()
            raise
        try:
            source = resources.files(__package__).joinpath("stub.py").read_bytes()
            self._write(b"%d\n" % len(source) + source)
            self._greet()
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Ask for one thing; the answer, or `DeviceFailed` with the far end's own words."""
        self.tell(do, **request)
        return self.answer()

    def tell(self, do: str, **request: Any) -> None:
        """Ask without waiting."""
        self._write(json.dumps({"do": do, **request}).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        line = self._stdout().readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise self._lost()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise DeviceFailed("Its answer cannot be understood.", where=self.host.label)
        if "refused" in answer:
            refused = on_a_line(str(answer["refused"]))
            raise DeviceFailed(f"It refused: {refused}.", where=self.host.label)
        return answer

    def send(self, data: bytes) -> None:
        """Bytes that a request announced."""
        self._write(data)

    def receive(self, size: int, sha256: str) -> bytes:
        """Bytes that an answer announced; `DeviceFailed` if they are not the ones."""
        data: bytes = self._stdout().read(size)
        if len(data) != size:
            raise self._lost()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DeviceFailed(
                "A file was damaged on its way.",
                where=self.host.label,
                hint="Run the same command again.",
            )
        return data

    def close(self) -> None:
        """Hang up. What was started there goes on."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.cut()
        self._stdout().close()
        self._errors.close()

    def cut(self) -> None:
        """End the client, and what it started to get through, at once. Safe from another thread."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _greet(self) -> None:
        """Skip what a login shell prints of its own. One that runs no commands, or a board that
        hangs, would never answer."""
        began, chatter = time.monotonic(), 0
        late = threading.Timer(GREETING_SECONDS, self.cut)
        late.start()
        try:
            while (line := self._stdout().readline(_MAX_CHATTER)) != HELLO:
                chatter += len(line)
                if chatter > _MAX_CHATTER:
                    raise self._refused("its login shell prints too much")
                if not line and time.monotonic() - began >= GREETING_SECONDS:
                    raise self._refused(f"it did not answer within {GREETING_SECONDS:g} s")
                if not line:
                    raise self._refused("the client said nothing")
        finally:
            late.cancel()
        self._greeted = True

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            # A client that gave up at once says why; `_greet` reads it.
            if self._greeted:
                raise self._lost() from error

    def _stdout(self) -> Any:
        assert self._process.stdout is not None
        return self._process.stdout

    def _lost(self) -> LinkLost:
        return LinkLost("The link was lost.", where=self.host.label, hint=self._last_words())

    def _refused(self, otherwise: str) -> Unreachable:
        """With the client's last words, or what is known `otherwise`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        said = self._last_words().rstrip(".") or otherwise
        by_hand = shlex.join(_address(self.host, ("ssh",)))
        hint = next((h.format(by_hand=by_hand) for k, h in _REMEDIES if k in said.lower()), None)
        return Unreachable(
            f"It cannot be reached, or has no Python: {said}.",
            where=self.host.label,
            hint=hint,
        )

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-4096:].decode(errors="replace").strip().splitlines()
        return on_a_line(" ".join(line.strip() for line in lines[-2:]))


def on_a_line(text: str) -> str:
    """`text` from the far end, cut at 2000 characters, without ends of lines and what else a
    terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text[:2000])


@contextmanager
def open_link(host: SshHost, opened: Callable[[Link], None] | None = None) -> Iterator[Link]:
    """A link that is closed when the block ends. `opened` is told of it, to be able to cut it."""
    link = Link(host)
    try:
        if opened is not None:
            opened(link)
        yield link
    finally:
        link.close()


def ssh_command(host: SshHost) -> list[str]:
    """The client's command line; `MissingComponent` where there is no client."""
    client = shutil.which("ssh")
    if client is None:
        error = MissingComponent("There is no SSH client on this machine.", extra="")
        error.hint = "Install OpenSSH's client (on Debian: apt install openssh-client)."
        raise error
    options = [part for key, value in _OPTIONS.items() for part in ("-o", f"{key}={value}")]
    far = ("sh", "-c", shlex.quote(_START), shlex.quote(_BOOTSTRAP))
    return [*_address(host, (client, *options)), *far]


def _address(host: SshHost, start: tuple[str, ...]) -> list[str]:
    user = ["-l", host.user] if host.user else []
    port = ["-p", str(host.port)] if host.port else []
    return [*start, *user, *port, "--", host.host]
