"""Files for native code, which takes no name that is not UTF-8: OpenCV even crashes on one.

OpenCV does not tell of a full disk either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import DeviceFailed
from edgeanim.core.scratch import scratch_folder


@contextmanager
def native_name(path: Path) -> Iterator[str]:
    """A name under which native code finds the existing file `path`: its own, or one that leads to
    it through a link where its own is not UTF-8. What lies beside it is found beside that, too, if
    only a folder's name is to blame."""
    whole = path.resolve()
    if _is_utf8(str(whole)):
        yield str(whole)
        return
    with scratch_folder("link") as folder:
        link = folder / "link"
        if _is_utf8(whole.name):
            link.symlink_to(whole.parent)
            yield str(link / whole.name)
        else:
            link = link.with_suffix(path.suffix if path.suffix.isascii() else "")
            link.symlink_to(whole)
            yield str(link)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write uint8 RGB [H, W, 3] or grey [H, W] as PNG; `OSError` if the disk refuses,
    `DeviceFailed` if OpenCV was built without PNG."""
    import cv2

    flipped = picture[:, :, ::-1] if picture.ndim == 3 else picture
    written, data = cv2.imencode(".png", np.ascontiguousarray(flipped))
    if not written:
        raise DeviceFailed("This machine's OpenCV cannot write PNG.")
    path.write_bytes(data.tobytes())


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
