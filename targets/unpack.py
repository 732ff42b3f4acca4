"""A bundle's archive, checked as if its writer were hostile, and laid out in a folder."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from edgeanim.core.archives import archive_errors
from edgeanim.core.errors import BadInput, disk_errors, named
from edgeanim.core.files import inside
from edgeanim.core.parsing import parse_json, parse_written
from edgeanim.targets.manifest import MANIFEST, FileEntry, Manifest
from edgeanim.targets.seal import BROKEN, PLACE
from edgeanim.targets.signing import Signature, require_trusted

SCHEMA: Final = "edgeanim.bundle/1"
MAX_MEMBERS = 1000
MAX_BYTES = 2 << 30
_MAX_MANIFEST = 16 << 20
_CHUNK = 1 << 20


def unpack(
    stream: BinaryIO, folder: Path, path: Path, trusted: bool
) -> tuple[Signature | None, Manifest]:
    """Check the archive as if its writer were hostile, then write its members below `folder`."""
    with archive_errors(path, hint=BROKEN), zipfile.ZipFile(stream) as archive:
        infos = _checked_members(archive, path)
        text = _manifest_text(archive, infos, path)
        signature = Signature.from_comment(archive.comment[: -len(PLACE)], text, path)
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
        raise BadInput("There is no usable manifest.json in this bundle.", where=path, hint=BROKEN)
    return archive.read(MANIFEST)


def _read_manifest(text: bytes, path: Path) -> Manifest:
    where = f"{path}!{MANIFEST}"
    data = parse_json(text.decode("utf-8"), where=where)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise BadInput(
            f"This bundle has the schema {schema!r}; this version of edgeanim reads {SCHEMA!r}.",
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
        raise BadInput(
            f"The member {info.filename!r} does not have the size it should.", where=path
        )
    digest = hashlib.sha256()
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source, target.open("xb") as out:
            while piece := source.read(_CHUNK):
                digest.update(piece)
                out.write(piece)
    if digest.hexdigest() != entry.sha256:
        raise BadInput(f"The member {info.filename!r} is not what it should be.", where=path)
