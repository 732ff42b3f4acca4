"""Where to run: `local`, `ssh://[user@]host[:port]`, or `emulated:BOARD`. Parsed strictly.

A host string ends up beside the options of the SSH client, so nothing that could be taken for an
option, a path or a shell's word gets through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from edgeanim.core.errors import UsageError

LOCAL = "local"
_SSH = "ssh://"
_EMULATED = "emulated:"
_FORMS = "Possible: local, ssh://[user@]host[:port], emulated:BOARD."
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True)
class Local:
    """This machine."""

    @property
    def label(self) -> str:
        """`local`."""
        return LOCAL


@dataclass(frozen=True)
class SshHost:
    """A host as the SSH client knows it: a name, an address, or an alias of its configuration.

    `user` and `port` are `None` where the client's own configuration decides.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @property
    def label(self) -> str:
        """`user@host:port`, without what is not given."""
        name = f"{self.user}@{self.host}" if self.user else self.host
        return f"{name}:{self.port}" if self.port else name


@dataclass(frozen=True)
class Emulated:
    """The processor of a board, emulated on this machine."""

    board: str

    @property
    def label(self) -> str:
        """`emulated:BOARD`."""
        return f"{_EMULATED}{self.board}"


Place: TypeAlias = Local | SshHost | Emulated


def parse_place(text: str) -> Place:
    """The place that `text` names; `UsageError` for anything but the three forms."""
    if text == LOCAL:
        return Local()
    if text.startswith(_EMULATED):
        board = text.removeprefix(_EMULATED)
        if not _NAME.fullmatch(board):
            raise _refused(text)
        return Emulated(board)
    if text.startswith(_SSH):
        return _ssh_host(text)
    if "@" in text:
        raise UsageError(f"{text!r} is not a place.", hint=f"Did you mean '{_SSH}{text}'?")
    raise _refused(text)


def file_label(place: Place) -> str:
    """The label as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", place.label).strip("-.")


def _ssh_host(text: str) -> SshHost:
    user, at, rest = text.removeprefix(_SSH).rpartition("@")
    bracket = rest.rfind("]")
    colon = rest.find(":", bracket + 1)
    host, port = (rest, "") if colon < 0 else (rest[:colon], rest[colon + 1 :])
    if at and not _USER.fullmatch(user):
        raise _refused(text)
    if not _HOST.fullmatch(host) or (colon >= 0 and not _PORT.fullmatch(port)):
        raise _refused(text)
    number = int(port) if port else None
    if number is not None and not 1 <= number <= 65535:
        raise UsageError(f"{number} is not a port.", where=text)
    return SshHost(host.strip("[]"), user or None, number)


def _refused(text: str) -> UsageError:
    return UsageError(f"{text!r} is not a place.", hint=_FORMS)
