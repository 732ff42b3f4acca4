"""`edgeanim backends`, `boards` and `doctor`: what this machine is and what runs on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeanim.core.requirements import install_line
from edgeanim.targets.backends import backend_names, get_backend
from edgeanim.targets.board import Board, board_names, load_board

if TYPE_CHECKING:
    from edgeanim.targets.doctor import Diagnosis


@dataclass(frozen=True)
class BackendRow:
    """One backend here: `version` if it can run, else the `reason` and how to `install` it."""

    name: str
    version: str | None
    reason: str | None
    note: str | None
    install: str | None
    int8_scheme: str | None


def backends() -> tuple[BackendRow, ...]:
    """All backends, and whether each can run on this machine."""
    rows = []
    for name in backend_names():
        backend = get_backend(name)
        found = backend.available()
        install = None if found else install_line(backend.extra)
        rows.append(
            BackendRow(name, found.version, found.reason, found.note, install, backend.int8_scheme)
        )
    return tuple(rows)


def boards(name: str | None = None) -> tuple[Board, ...]:
    """All boards, or the one called `name` (or described by the TOML at that path)."""
    return tuple(load_board(each) for each in ([name] if name is not None else board_names()))


def doctor() -> Diagnosis:
    """Check this machine, and run every backend's smoke test in a process of its own."""
    from edgeanim.targets.doctor import diagnose

    return diagnose()
