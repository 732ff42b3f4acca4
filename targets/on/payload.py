"""What is pushed: files by their content's hash, edgeanim's own code among them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.errors import UsageError, disk_errors
from edgeanim.core.files import canonical_json, sha256_bytes, sha256_file
from edgeanim.targets.companions import with_companions

_PACKAGE = "edgeanim"
# Mapped into the package by the installation; the others lie below it.
_MAPPED = ("benchmarks", "quantize", "targets")
# Weights are compiled into bundles; a board never needs them as such.
_LEFT_OUT = (".safetensors", ".pyc")
MAX_FILES = 5000


@dataclass(frozen=True)
class Payload:
    """Files by the name that they get there. `digests` has the SHA-256 of each."""

    files: Mapping[str, Path]
    digests: Mapping[str, str]

    @staticmethod
    def of(files: Mapping[str, Path]) -> Payload:
        """Hash `files`; `UsageError` for too many."""
        if len(files) > MAX_FILES:
            raise UsageError(f"{len(files)} files are too many to push; {MAX_FILES} are possible.")
        return Payload(dict(files), {name: sha256_file(path) for name, path in files.items()})

    @property
    def digest(self) -> str:
        """Hex SHA-256 over all names and contents."""
        return sha256_bytes(canonical_json(dict(self.digests)).encode())

    def contents(self) -> dict[str, Path]:
        """A file for every distinct content."""
        return {self.digests[name]: path for name, path in self.files.items()}


def runtime() -> Payload:
    """edgeanim's own code and data without its weights, below `edgeanim/`."""
    top = _folder(_PACKAGE)
    folders = {_PACKAGE: top} | {f"{_PACKAGE}/{n}": _folder(f"{_PACKAGE}.{n}") for n in _MAPPED}
    files = {}
    for name, folder in folders.items():
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            inner = path.relative_to(folder)
            if path.suffix not in _LEFT_OUT and not (
                name == _PACKAGE and inner.parts[0] in _MAPPED
            ):
                files[f"{name}/{inner.as_posix()}"] = path
    return Payload.of(files)


def files_of(path: Path, name: str) -> dict[str, Path]:
    """A file with its companions, or all files of a folder, under `name`.

    `BadInput` if one is absent, or its external weights lie outside its folder.
    """
    with disk_errors(path):
        path.stat()
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.is_file())
            return {f"{name}/{p.relative_to(path).as_posix()}": p for p in inner}
    return with_companions(path, name)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]).resolve()
