"""A board in a folder: what its sensors read over a run, recorded there, replayed anywhere.

`EDGEANIM_RECORD=DIR edgeanim bench ...` records beside measuring; `EDGEANIM_REPLAY=DIR edgeanim
bench ...` measures here while the sensors read the recording, which its report says and which makes
it invalid as a measurement. The folder holds one folder per look at the machine, in order:

    0000/clocks.json                    wall, steady and own CPU time, in seconds
    0000/root/proc/stat                 a file, as it was read
    0000/commands/vcgencmd get_throttled
    0001/root/proc/stat                 later looks hold only what changed

`NAME.unreadable` holds the reason why NAME could not be read.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from edgeanim.benchmarks.machine.host import Clocks, Host, Stream, Unreadable
from edgeanim.core.errors import BadInput, disk_errors
from edgeanim.core.parsing import load_json, parse

REPLAY = "EDGEANIM_REPLAY"
RECORD = "EDGEANIM_RECORD"
_CLOCKS = "clocks.json"
_UNREADABLE = ".unreadable"
_MAX_BYTES = 256 << 20


def open_host() -> Host:
    """This machine; a recording of another, or a recorder, if the environment asks for one."""
    if (recording := replayed_folder()) is not None:
        return RecordedHost(recording)
    if folder := os.environ.get(RECORD):
        return RecordingHost(Path(folder))
    return Host()


def replayed_folder() -> Path | None:
    """The recording that stands in for this machine, if the environment names one."""
    folder = os.environ.get(REPLAY)
    return Path(folder) if folder else None


class RecordedHost(Host):
    """A recording. Every look of the run turns a page; the last is kept for the last look."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.replayed = folder.name
        with disk_errors(folder):
            self._pages = sorted(page for page in folder.iterdir() if page.name.isdecimal())
        if not self._pages:
            raise BadInput(
                "This folder holds no recording.",
                where=folder,
                hint=f"One is made with: {RECORD}=DIR edgeanim bench ...",
            )
        self._page = 0
        self._started = False
        self._texts = _read_pages(self._pages)

    def advance(self, *, last: bool = False) -> None:
        end = len(self._pages) - 1
        if last:
            self._page = end
        elif self._started:
            self._page = min(self._page + 1, max(0, end - 1))
        self._started = True

    def clocks(self) -> Clocks:
        place = next(p / _CLOCKS for p in self._pages[self._page :: -1] if (p / _CLOCKS).is_file())
        return parse(Clocks, load_json(place), where=place)

    def text(self, name: str) -> str:
        return self._find(f"root/{name}", f"/{name}")

    def glob(self, pattern: str) -> list[str]:
        parts = len(PurePosixPath(pattern).parts)
        names = {
            PurePosixPath(name.removesuffix(_UNREADABLE)).relative_to("root")
            for page in self._texts[: self._page + 1]
            for name in page
            if name.startswith("root/")
        }
        return sorted(
            name.as_posix() for name in names if len(name.parts) == parts and name.match(pattern)
        )

    def run(self, *command: str) -> str:
        self.ran.add(command[0])
        return self._find(_command(command), " ".join(command))

    def follow(self, *command: str) -> Stream:
        self.ran.add(command[0])
        # A command that the board does not have is known at once, as on the board itself.
        self._find(_command(command), command[0])
        return _Read(lambda: self._find(_command(command), command[0]))

    def library(self, name: str) -> ctypes.CDLL:
        raise Unreadable(f"{name} cannot be replayed")

    def _find(self, name: str, shown: str) -> str:
        for page in reversed(self._texts[: self._page + 1]):
            if name in page:
                return page[name]
            if name + _UNREADABLE in page:
                raise Unreadable(page[name + _UNREADABLE].strip())
        raise Unreadable(f"{shown}: not in the recording")


class RecordingHost(Host):
    """This machine; whatever is read is also written into `folder`, which must be empty or new."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise BadInput("A recording needs an empty folder.", where=folder)
        self._folder = folder
        self._page = -1
        self._known: dict[str, str] = {}

    def advance(self, *, last: bool = False) -> None:
        super().advance(last=last)
        self._page += 1

    def clocks(self) -> Clocks:
        clocks = super().clocks()
        self._save(_CLOCKS, json.dumps(asdict(clocks)))
        return clocks

    def text(self, name: str) -> str:
        return self._keep(f"root/{name}", lambda: super(RecordingHost, self).text(name))

    def run(self, *command: str) -> str:
        return self._keep(_command(command), lambda: super(RecordingHost, self).run(*command))

    def follow(self, *command: str) -> Stream:
        name = _command(command)
        try:
            stream = super().follow(*command)
        except Unreadable as reason:
            self._write(name + _UNREADABLE, str(reason))
            raise
        return _Read(lambda: self._keep(name, stream.latest), stream.close)

    def _keep(self, name: str, read: Callable[[], str]) -> str:
        try:
            text = read()
        except Unreadable as reason:
            self._write(name + _UNREADABLE, str(reason))
            raise
        self._write(name, text)
        return text

    def _write(self, name: str, text: str) -> None:
        plain = name.removesuffix(_UNREADABLE)
        if self._known.get(plain) != name + text:
            self._known[plain] = name + text
            self._save(name, text)

    def _save(self, name: str, text: str) -> None:
        place = self._folder / f"{max(0, self._page):04d}" / name
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)


class _Read(Stream):
    """A stream that asks a function."""

    def __init__(self, read: Callable[[], str], close: Callable[[], None] = lambda: None) -> None:
        self._read = read
        self._close = close

    def latest(self) -> str:
        return self._read()

    def close(self) -> None:
        self._close()


def _command(command: tuple[str, ...]) -> str:
    """The file's name for a command line: its words, with `/` and the like quoted."""
    return "commands/" + " ".join(quote(word, safe="=,:") for word in command)


def _read_pages(pages: list[Path]) -> list[dict[str, str]]:
    texts: list[dict[str, str]] = []
    left = _MAX_BYTES
    for page in pages:
        found: dict[str, str] = {}
        for file in sorted(page.rglob("*")):
            if not file.is_file() or file.is_symlink():
                continue
            with disk_errors(file):
                left -= file.stat().st_size
                if left < 0:
                    raise BadInput("This recording is larger than 256 MiB.", where=page.parent)
                found[file.relative_to(page).as_posix()] = file.read_text(errors="replace")
        texts.append(found)
    if not any(_CLOCKS in page for page in texts[:1]):
        raise BadInput("The first page of a recording needs its clocks.", where=pages[0] / _CLOCKS)
    return texts
