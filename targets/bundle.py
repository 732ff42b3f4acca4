"""The bundle (`.eab`): what travels to a board, in one file that proves itself unharmed.

A bundle is a zip archive of stored, uncompressed members: `manifest.json`, the compiled graphs of
each variant, `golden.npz` and motion tracks. Stored, because compressed bytes depend on the zlib
at hand and a bundle's hash must not, and because nothing can then expand.

The archive's comment is the **seal**: the SHA-256 of every byte before it. It is verified before
anything is parsed, so no byte of a bundle can change unnoticed, not even in the zip's own headers.
The seal tells damage from health, not friend from foe: whoever alters a bundle can seal it anew.
So the archive is checked as hostile all the same, and each member against the manifest. Friends can
sign it (`signing.py`).
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeanim.core.contract import Contract
from edgeanim.core.errors import EdgeanimError, UsageError, disk_errors
from edgeanim.core.files import atomic_path, canonical_json, inside, open_seekable, sha256_file
from edgeanim.core.parsing import to_plain
from edgeanim.core.scratch import scratch_folder
from edgeanim.targets.manifest import (
    GOLDEN,
    MANIFEST,
    FileEntry,
    Manifest,
    Variant,
    from_entry,
    to_entry,
    track_member,
    variant_files,
)
from edgeanim.targets.seal import PLACE, check_seal, put_seal
from edgeanim.targets.signing import Signature, sign
from edgeanim.targets.unpack import MAX_BYTES, MAX_MEMBERS, SCHEMA, unpack

__all__ = ["Bundle", "Variant", "open_bundle", "sign_bundle", "write_bundle"]

SUFFIX = ".eab"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; its files exist until the `with` block ends. `sha256` identifies it;
    `signature` is what it says of its maker, verified only where that was asked for."""

    contract: Contract
    variants: tuple[Variant, ...]
    golden: Path | None
    tracks: Mapping[str, Path]
    provenance: Mapping[str, Any]
    sha256: str
    signature: Signature | None = None

    def must_have_golden(self, where: object = None) -> Path:
        """The file of the golden frames; `UsageError` if there is none."""
        if self.golden is None:
            raise UsageError(
                "This bundle has no golden frames.", where=where, hint="Compile it again."
            )
        return self.golden


def write_bundle(
    path: Path,
    *,
    contract: Contract,
    variants: Sequence[Variant],
    golden: Path | None,
    tracks: Mapping[str, Path],
    provenance: Mapping[str, object],
) -> None:
    """Write a bundle, atomically. The same content always gives the same bytes.

    `golden` and `tracks` are `.npz` files. `UsageError` if there is no variant, or if one lacks a
    graph of the contract, has another interface, or is given twice.
    """
    parts = [part for variant in variants for part in variant_files(variant)]
    parts += [(track_member(name), file) for name, file in tracks.items()]
    if golden is not None:
        parts.append((GOLDEN, golden))
    files = dict(parts)
    listed: dict[str, FileEntry] = {}
    # What variants have in common is the very same file: it is read once.
    for member, file in dict.fromkeys(parts):
        with disk_errors(file):
            entry = FileEntry(file.stat().st_size, sha256_file(file))
        if listed.setdefault(member, entry) != entry:
            raise UsageError(f"Two variants have {member!r}, and not the same.", where=path)
    try:
        manifest = Manifest(
            schema=SCHEMA,
            contract=contract,
            variants=tuple(to_entry(variant) for variant in variants),
            files=listed,
            golden=None if golden is None else GOLDEN,
            tracks={name: track_member(name) for name in tracks},
            provenance=dict(provenance),
        )
        text = canonical_json(to_plain(manifest))
    except (TypeError, ValueError) as error:
        raise UsageError(f"This cannot be bundled: {error}.", where=path) from error
    if len(files) >= MAX_MEMBERS or sum(entry.size for entry in listed.values()) > MAX_BYTES:
        raise UsageError("This is too much for one bundle (1000 files, 2 GiB).", where=path)
    with atomic_path(path) as partial:
        _write_archive(partial, text.encode(), files)


def sign_bundle(path: Path, key: Path) -> Signature:
    """Sign the bundle at `path` in place with the private key in the PEM file `key`; an earlier
    signature goes. `BadInput` if either is not sound."""
    with open_bundle(path, trusted=False):
        pass
    with disk_errors(path), zipfile.ZipFile(path) as archive:
        signature = sign(archive.read(MANIFEST), key)
    with atomic_path(path.resolve()) as partial:  # a link stays one, and what it leads to is signed
        with disk_errors(path):
            shutil.copy(path, partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.comment = signature.to_comment() + PLACE
        put_seal(partial)
    return signature


@contextmanager
def open_bundle(path: Path, *, trusted: bool = True) -> Iterator[Bundle]:
    """Verify a bundle and unpack it into a temporary folder that goes when the block ends.

    `BadInput` for anything that is not exactly a sound bundle; if it has to be `trusted`, also for
    one that nobody signed whom `EDGEANIM_TRUST` names, where that is set.
    """
    with scratch_folder("bundle") as folder:
        with open_seekable(path) as stream:
            seal = check_seal(stream, path)
            signature, manifest = unpack(stream, folder, path, trusted)
        bundle = Bundle(
            contract=manifest.contract,
            variants=tuple(from_entry(entry, folder) for entry in manifest.variants),
            golden=None if manifest.golden is None else inside(folder, manifest.golden),
            tracks={name: inside(folder, member) for name, member in manifest.tracks.items()},
            provenance=manifest.provenance,
            sha256=seal,
            signature=signature,
        )
        with _by_member(folder, path):
            yield bundle


@contextmanager
def _by_member(folder: Path, path: Path) -> Iterator[None]:
    """Let errors name a member of the bundle, as `net.eab!golden.npz`: nobody knows where it was
    unpacked, and it is gone when that is read."""
    try:
        yield
    except EdgeanimError as error:
        there, shown = f"{folder}{os.sep}", f"{path}!"
        error.what = error.what.replace(there, shown)
        error.where = error.where and error.where.replace(there, shown)
        raise


def _write_archive(path: Path, manifest: bytes, files: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = PLACE
        archive.writestr(_member(MANIFEST, len(manifest)), manifest)
        for name, source in sorted(files.items()):
            _add_file(archive, name, source)
    put_seal(path)


def _add_file(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    with disk_errors(source), source.open("rb") as stream:
        info = _member(name, source.stat().st_size)
        with archive.open(info, "w") as target:
            shutil.copyfileobj(stream, target, _CHUNK)


def _member(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = size
    return info
