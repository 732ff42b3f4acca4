"""Zip archives from outside: whatever damage or malice makes their reader raise is `BadInput`."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from edgeanim.core.errors import BadInput

# What zipfile lets out for archives that are cut off, altered, encrypted or from another age.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    ValueError,
    struct.error,
)


@contextmanager
def archive_errors(where: object, *, hint: str | None = None) -> Iterator[None]:
    """Reading a zip inside the block fails as `BadInput` if the archive is to blame. A disk that
    refuses stays an `OSError`."""
    try:
        yield
    except _DAMAGE as error:
        raise BadInput(f"This archive cannot be read: {error}.", where=where, hint=hint) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # What the archive itself asks of the file, such as a place before its beginning.
        raise BadInput("This archive points outside itself.", where=where, hint=hint) from error
