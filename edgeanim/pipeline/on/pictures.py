"""The worst frames of a bench on another machine: packed there, checked and laid out here."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

from edgeanim.benchmarks.drift.picture import picture_name
from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.core.archives import archive_errors
from edgeanim.core.errors import BadInput
from edgeanim.core.files import inside, write_bytes
from edgeanim.runtime.media.stills import PNG

PICTURES = "pictures.zip"
# What a host may send is bounded; of more, the last ones stay there.
_MAX_BYTES = 48 << 20


def pack_pictures(report: Report, folder: Path, archive: Path) -> None:
    """Put the pictures that `report` in `folder` names into `archive`, by the variants' numbers."""
    left = _MAX_BYTES
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for number, variant in enumerate(report.variants, start=1):
            if variant.worst_picture is None:
                continue
            data = inside(folder, variant.worst_picture).read_bytes()
            left -= len(data)
            if left >= 0:
                packed.writestr(str(number), data)


def unpack_pictures(data: bytes, report: Report, folder: Path | None, *, where: str) -> Report:
    """Write the pictures in the archive `data` into `folder` under names of our own.

    Returns the report that names them there; without a folder, or where no picture came, it names
    none. `BadInput` for an archive that is damaged or holds anything else.
    """
    found = _pictures(data, where) if folder is not None else {}
    variants: list[VariantResult] = []
    for number, variant in enumerate(report.variants, start=1):
        kept = None
        if folder is not None and variant.drift is not None and str(number) in found:
            name = picture_name(number, variant.id, variant.drift.worst_frame)
            write_bytes(folder / name, found[str(number)])
            kept = f"{folder.name}/{name}"
        variants.append(replace(variant, worst_picture=kept))
    return replace(report, variants=tuple(variants))


def _pictures(data: bytes, where: str) -> dict[str, bytes]:
    place = f"{where}: {PICTURES}"
    with archive_errors(place), zipfile.ZipFile(io.BytesIO(data)) as packed:
        infos = packed.infolist()
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
        if not stored or sum(info.file_size for info in infos) > len(data):
            raise BadInput("Its pictures are not stored as they are.", where=place)
        found = {info.filename: packed.read(info) for info in infos}
    if not all(picture.startswith(PNG) for picture in found.values()):
        raise BadInput("What it sent as pictures is none.", where=place)
    return found
