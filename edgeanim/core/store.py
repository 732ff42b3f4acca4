"""The artifact store: every stage's output, kept under the hash of all that went into it.

An entry is a folder that appears whole or not at all, so a killed run leaves the store sound and
the next run goes on from the last finished stage. Where several runs need one entry, one of them
builds it and the others wait; without file locks (`core.locks`) each does, and the first is kept.

Location: `$EDGEANIM_STORE`, or `$XDG_CACHE_HOME/edgeanim`, or `~/.cache/edgeanim`.
"""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import edgeanim
from edgeanim.core.errors import BadInput, EdgeanimError, UsageError, disk_errors
from edgeanim.core.files import (
    atomic_folder,
    canonical_json,
    may_hold_files,
    sha256_bytes,
    sha256_tree,
    write_text,
)
from edgeanim.core.interruption import note_kept
from edgeanim.core.locks import exclusive, held_while_open, remove_unheld
from edgeanim.core.parsing import load_json

_MANIFEST = "entry.json"
_LOCK = ".lock-"
_STALE_SECONDS = 24 * 3600
_CHOOSE = "Choose a folder for it: EDGEANIM_STORE=FOLDER edgeanim …"


class _Overtaken(Exception):
    """Another run has finished the same entry meanwhile."""


def default_root() -> Path:
    """The store's folder as the environment has it; `UsageError` if it has neither a folder for
    that nor a home."""
    if chosen := os.environ.get("EDGEANIM_STORE"):
        return Path(chosen)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "edgeanim"
    try:
        return Path.home() / ".cache" / "edgeanim"
    except RuntimeError as error:
        raise UsageError(
            "This user has no home folder for the artifact store.", hint=_CHOOSE
        ) from error


def tool_versions(*packages: str) -> dict[str, str]:
    """Installed versions of `packages`; absent ones are `"absent"`. Our own is that of the code
    that runs: what an editable installation tells is the version at which it was made."""
    versions = {}
    for package in packages:
        if package == edgeanim.__name__:
            versions[package] = edgeanim.__version__
            continue
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return versions


class Store:
    """Folders by stage and key, built at most once."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = default_root() if root is None else Path(root)

    @staticmethod
    def key(**parts: object) -> str:
        """Hex SHA-256 over everything that determines a stage's output."""
        return sha256_bytes(canonical_json(parts).encode())

    def get(self, stage: str, key: str) -> Path | None:
        """The finished entry, or `None`. A damaged one counts as absent."""
        folder = self._folder(stage, key)
        content = folder / "content"
        try:
            whole = self._recorded_hash(folder) == sha256_tree(content)
        except (BadInput, OSError):  # there is none, or another run builds it anew right now
            return None
        return content if whole else None

    def build(
        self,
        stage: str,
        parts: Mapping[str, object],
        make: Callable[[Path], None],
        *,
        fresh: bool = False,
    ) -> tuple[Path, bool]:
        """The entry for `parts`, made by `make(folder)` if it is not there yet.

        Returns its content folder and whether it was already there. `fresh` builds it anew.
        """
        entry = self._entry(stage, parts, make, fresh)
        note_kept()
        return entry

    def _entry(
        self,
        stage: str,
        parts: Mapping[str, object],
        make: Callable[[Path], None],
        fresh: bool,
    ) -> tuple[Path, bool]:
        key = self.key(stage=stage, **parts)
        if not fresh and (found := self.get(stage, key)) is not None:
            return found, True
        folder = self._folder(stage, key)
        self._make_room(folder.parent)
        with disk_errors(folder):
            self._sweep(folder.parent)
            with exclusive(folder.with_name(f"{_LOCK}{folder.name}")) as alone:
                # Whoever held the lock until now has most likely built it.
                if not fresh and (found := self.get(stage, key)) is not None:
                    return found, True
                with (
                    suppress(_Overtaken),
                    atomic_folder(folder) as partial,
                    held_while_open(partial),
                ):
                    self._fill(partial, stage, parts, make)
                    if not (alone or fresh) and self.get(stage, key) is not None:
                        raise _Overtaken
                    return folder / "content", False
        return folder / "content", True

    def _fill(
        self,
        partial: Path,
        stage: str,
        parts: Mapping[str, object],
        make: Callable[[Path], None],
    ) -> None:
        """Make the content of an entry, and the manifest that says what it was made of."""
        content = partial / "content"
        content.mkdir()
        with self._by_file_name():
            make(content)
        record = {"stage": stage, "parts": dict(parts), "sha256": sha256_tree(content)}
        write_text(partial / _MANIFEST, canonical_json(record))

    @staticmethod
    def _make_room(stage: Path) -> None:
        """The folder of a stage. Whoever meets a home that cannot be written to learns here that
        there is a store, and where else it may be."""
        try:
            may_hold_files(stage)
            with disk_errors(stage):
                stage.mkdir(parents=True, exist_ok=True)
        except EdgeanimError as error:
            error.what += " The artifact store is kept there."
            error.hint = _CHOOSE
            raise

    @contextmanager
    def _by_file_name(self) -> Iterator[None]:
        """Let errors name a file that is being made by its name alone: nobody knows where it lies,
        and it is gone when that is read. What the operating system refuses keeps its place."""
        try:
            yield
        except EdgeanimError as error:
            refused = isinstance(error.__cause__, OSError)
            if error.where and not refused and self.root in Path(error.where).parents:
                error.where = Path(error.where).name
            raise

    def _folder(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:32]

    @staticmethod
    def _recorded_hash(folder: Path) -> object:
        record = load_json(folder / _MANIFEST)
        return record.get("sha256") if isinstance(record, dict) else None

    @staticmethod
    def _sweep(parent: Path) -> None:
        """Remove what killed runs left behind, once it is a day old and nobody holds it: there are
        stages that take longer."""
        for path in parent.glob(".*-*"):
            with suppress(OSError):  # another run sweeps as well, or it is another user's
                if time.time() - path.stat().st_mtime < _STALE_SECONDS:
                    continue
                if path.name.startswith(_LOCK):
                    with exclusive(path, wait=False):
                        pass  # removed, unless somebody holds it
                else:
                    remove_unheld(path)
