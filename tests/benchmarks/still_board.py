"""A board that does not change: files of a folder, and what its commands print."""

from __future__ import annotations

from pathlib import Path

from edgeanim.benchmarks.machine.host import Host, Unreadable
from tests.files import lay_out


class Board(Host):
    """Files of a folder, and commands that print what they are given."""

    def __init__(self, root: Path, files: dict[str, str], commands: dict[str, str] | None = None):
        super().__init__(root)
        self.commands = commands or {}
        self.asked: list[str] = []
        lay_out(root, files)

    def run(self, *command: str) -> str:
        line = " ".join(command)
        self.asked.append(line)
        if line not in self.commands:
            raise Unreadable(f"{command[0]} is not installed")
        return self.commands[line]
