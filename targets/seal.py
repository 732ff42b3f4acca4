"""The seal of a bundle: the SHA-256 of every byte before it, at the very end of the file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from edgeanim.core.errors import BadInput

BROKEN = "Copy or build the bundle again."
"""What helps where a bundle is damaged."""

_MARK = b"edgeanim-sha256:"
_DIGITS = 64
_CHUNK = 1 << 20
PLACE = _MARK + b"0" * _DIGITS
"""What stands in the seal's place until there is something to seal."""


def put_seal(path: Path) -> None:
    """Put the digest of what lies before it in the place that was kept for it."""
    with path.open("r+b") as stream:
        digest = _digest_before(stream)
        stream.seek(-_DIGITS, 2)
        stream.write(digest.encode())


def _digest_before(stream: BinaryIO) -> str:
    """SHA-256 of all but the digest itself, the last bytes."""
    left = stream.seek(0, 2) - _DIGITS
    stream.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (piece := stream.read(min(_CHUNK, left))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def check_seal(stream: BinaryIO, path: Path) -> str:
    """The digest that the bundle at `path` is sealed with; `BadInput` unless it is its own."""
    size = stream.seek(0, 2)
    if size == 0:
        raise BadInput("This file is empty.", where=path)
    stream.seek(max(0, size - len(PLACE)))
    end = stream.read()
    if not end.startswith(_MARK):
        raise BadInput("This is not a whole edgeanim bundle.", where=path, hint=BROKEN)
    digest = _digest_before(stream)
    if end[len(_MARK) :] != digest.encode():
        raise BadInput("This bundle is damaged: its seal is broken.", where=path, hint=BROKEN)
    return digest
