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

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from edgeanim.core.archives import archive_errors
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, EdgeanimError, UsageError, disk_errors, named
from edgeanim.core.files import atomic_path, canonical_json, inside, sha256_file
from edgeanim.core.parsing import parse_json, parse_written, to_plain
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
from edgeanim.targets.signing import Signature, require_trusted, sign

__all__ = ["Bundle", "Variant", "open_bundle", "sign_bundle", "write_bundle"]

SUFFIX = ".eab"
_SCHEMA: Final = "edgeanim.bundle/1"
_SEAL = b"edgeanim-sha256:"
_SEAL_BYTES = len(_SEAL) + 64
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20
MAX_MEMBERS = 1000
MAX_BYTES = 2 << 30
_MAX_MANIFEST = 16 << 20
_HINT = "Copy or build the bundle again."


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
            schema=_SCHEMA,
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
    with atomic_path(path) as partial:
        with disk_errors(path):
            shutil.copyfile(path, partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.comment = signature.to_comment() + _SEAL + b"0" * 64
        _seal(partial)
    return signature


@contextmanager
def open_bundle(path: Path, *, trusted: bool = True) -> Iterator[Bundle]:
    """Verify a bundle and unpack it into a temporary folder that goes when the block ends.

    `BadInput` for anything that is not exactly a sound bundle; if it has to be `trusted`, also for
    one that nobody signed whom `EDGEANIM_TRUST` names, where that is set.
    """
    with tempfile.TemporaryDirectory(prefix="edgeanim-bundle-") as scratch:
        folder = Path(scratch)
        with disk_errors(path), path.open("rb") as stream:
            seal = _check_seal(stream, path)
            signature, manifest = _unpack(stream, folder, path, trusted)
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
        archive.comment = _SEAL + b"0" * 64
        archive.writestr(_member(MANIFEST, len(manifest)), manifest)
        for name, source in sorted(files.items()):
            with disk_errors(source), source.open("rb") as stream:
                info = _member(name, source.stat().st_size)
                with archive.open(info, "w") as target:
                    while piece := stream.read(_CHUNK):
                        target.write(piece)
    _seal(path)


def _seal(path: Path) -> None:
    """Put the digest of what lies before it in the place that was kept for it."""
    with path.open("r+b") as stream:
        digest = _digest_before_seal(stream)
        stream.seek(-64, 2)
        stream.write(digest.encode())


def _member(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = size
    return info


def _digest_before_seal(stream: BinaryIO) -> str:
    """SHA-256 of all but the last 64 bytes, the digest itself."""
    left = stream.seek(0, 2) - 64
    stream.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (piece := stream.read(min(_CHUNK, left))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def _check_seal(stream: BinaryIO, path: Path) -> str:
    size = stream.seek(0, 2)
    if size == 0:
        raise BadInput("This file is empty.", where=path)
    stream.seek(max(0, size - _SEAL_BYTES))
    end = stream.read()
    if not end.startswith(_SEAL):
        raise BadInput("This is not a whole edgeanim bundle.", where=path, hint=_HINT)
    digest = _digest_before_seal(stream)
    if end[len(_SEAL) :] != digest.encode():
        raise BadInput("This bundle is damaged: its seal is broken.", where=path, hint=_HINT)
    return digest


def _unpack(
    stream: BinaryIO, folder: Path, path: Path, trusted: bool
) -> tuple[Signature | None, Manifest]:
    """Check the archive as if its writer were hostile, then write its members below `folder`."""
    with archive_errors(path, hint=_HINT), zipfile.ZipFile(stream) as archive:
        infos = _checked_members(archive, path)
        text = _manifest_text(archive, infos, path)
        signature = Signature.from_comment(archive.comment[:-_SEAL_BYTES], text, path)
        if trusted:  # before anything of it is parsed
            require_trusted(signature, path)
        manifest = _read_manifest(text, path)
        _check_names(manifest, infos, path)
        for name, entry in manifest.files.items():
            _extract(archive, infos[name], entry, inside(folder, name), path)
        return signature, manifest


def _checked_members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BadInput(
            f"This bundle has {len(infos)} members, more than {MAX_MEMBERS}.", where=path
        )
    for info in infos:
        mode = info.external_attr >> 16
        plain = stat.S_ISREG(mode) and not info.is_dir() and not info.flag_bits & 0x1
        if not plain or info.compress_type != zipfile.ZIP_STORED:
            raise BadInput(f"The member {info.filename!r} is not a plain stored file.", where=path)
        if info.compress_size != info.file_size:
            raise BadInput(f"The member {info.filename!r} has two sizes.", where=path)
        if not 0 <= info.header_offset < archive.start_dir:
            raise BadInput(f"The member {info.filename!r} lies outside the file.", where=path)
    # Overlapping members, the trick of the zip bombs, would add up to more than the file.
    total = sum(info.file_size for info in infos)
    if total > MAX_BYTES or total > path.stat().st_size:
        raise BadInput("The members claim more bytes than the bundle has.", where=path)
    by_name = {info.filename: info for info in infos}
    if len(by_name) != len(infos):
        raise BadInput("Two members have the same name.", where=path)
    return by_name


def _manifest_text(
    archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], path: Path
) -> bytes:
    if MANIFEST not in infos or infos[MANIFEST].file_size > _MAX_MANIFEST:
        raise BadInput("There is no usable manifest.json in this bundle.", where=path, hint=_HINT)
    return archive.read(MANIFEST)


def _read_manifest(text: bytes, path: Path) -> Manifest:
    where = f"{path}!{MANIFEST}"
    data = parse_json(text.decode("utf-8"), where=where)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != _SCHEMA:
        raise BadInput(
            f"This bundle has the schema {schema!r}; this version of edgeanim reads {_SCHEMA!r}.",
            where=path,
            hint="Build the bundle with the version of edgeanim that is to run it.",
        )
    return parse_written(Manifest, data, where=where)


def _check_names(manifest: Manifest, infos: Mapping[str, zipfile.ZipInfo], path: Path) -> None:
    for name in infos:
        with named(path):
            inside(Path("/bundle"), name)
        _check_plain(name, infos, path)
        if name != MANIFEST and name not in manifest.files:
            raise BadInput(f"The manifest does not list the member {name!r}.", where=path)
    for name in manifest.files:
        if name not in infos or name == MANIFEST:
            raise BadInput(f"The manifest lists {name!r}, which is not in the bundle.", where=path)


def _check_plain(name: str, infos: Mapping[str, zipfile.ZipInfo], path: Path) -> None:
    """Refuse a second spelling of a name, a file that is another's folder, and unusable names."""
    pure = PurePosixPath(name)
    clash = any(parent.as_posix() in infos for parent in pure.parents)
    long = any(len(part.encode()) > 200 for part in pure.parts) or len(name) > 1000
    if clash or long or pure.as_posix() != name or not name.isprintable():
        raise BadInput(f"The member name {name[:80]!r} is not usable.", where=path)


def _extract(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    entry: FileEntry,
    target: Path,
    path: Path,
) -> None:
    """Write one member, hashing it on the way."""
    if info.file_size != entry.size:
        raise BadInput(f"The member {info.filename!r} has not the size it should.", where=path)
    digest = hashlib.sha256()
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source, target.open("xb") as out:
            while piece := source.read(_CHUNK):
                digest.update(piece)
                out.write(piece)
    if digest.hexdigest() != entry.sha256:
        raise BadInput(f"The member {info.filename!r} is not what it should be.", where=path)
