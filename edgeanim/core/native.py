"""Files for OpenCV, which crashes on a name that is not UTF-8 and does not tell of a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.scratch import scratch_folder


@contextmanager
def native_name(path: Path) -> Iterator[str]:
    """A name under which OpenCV finds the existing file `path`: its own, or that of a link to it
    where its own is not UTF-8."""
    whole = path.resolve()
    if _is_utf8(str(whole)):
        yield str(whole)
        return
    with scratch_folder("link") as folder:
        link = folder / ("file" + (path.suffix if path.suffix.isascii() else ""))
        link.symlink_to(whole)
        yield str(link)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write uint8 RGB [H, W, 3] or grey [H, W] as PNG; `OSError` if the disk refuses."""
    import cv2

    flipped = picture[:, :, ::-1] if picture.ndim == 3 else picture
    _, data = cv2.imencode(".png", np.ascontiguousarray(flipped))
    path.write_bytes(data.tobytes())


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
