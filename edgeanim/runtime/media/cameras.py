"""Cameras, called `camera:N`: opened when their first frame is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from edgeanim.core.errors import DeviceFailed
from edgeanim.core.quiet import quiet
from edgeanim.runtime.media.opencv import next_frame, silent_cv2
from edgeanim.runtime.scene import Picture

_PREFIX = "camera:"
# OpenCV takes no greater number, and no system has so many.
_CAMERA = re.compile(rf"{_PREFIX}[0-9]{{1,9}}")
# USB cameras send damaged and empty frames now and then; one that is gone sends nothing else.
_BAD_FRAMES, _PATIENCE_S = 10, 1.0


def is_camera(path: str | Path) -> bool:
    """Whether `path` means a camera."""
    return _CAMERA.fullmatch(str(path)) is not None


def camera_frames(path: str | Path) -> Iterator[Picture]:
    """The frames of the camera that `path` means, uint8 RGB [H, W, 3], for as long as it gives any;
    `DeviceFailed` if there is no such camera, or it stops giving frames of one size."""
    where = str(path)
    cv2 = silent_cv2()
    with quiet():
        camera = cv2.VideoCapture(int(where.removeprefix(_PREFIX)))
    try:
        if not camera.isOpened():
            raise DeviceFailed(
                "There is no such camera, or it is in use.",
                where=where,
                hint="See /dev/video* for those that this machine has. One that OpenCV cannot open "
                "can be piped in: --drive - --live.",
            )
        # Frames that wait for a slow network are old when they are followed.
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        first: tuple[int, ...] | None = None
        while (frame := _whole_frame(camera)) is not None:
            first = first or frame.shape
            if frame.shape != first:
                raise DeviceFailed(
                    f"The camera switched from {first[1]}x{first[0]} pixels to "
                    f"{frame.shape[1]}x{frame.shape[0]}.",
                    where=where,
                )
            yield frame
        raise DeviceFailed(
            "The camera stopped giving frames.", where=where, hint="See that it is still connected."
        )
    finally:
        camera.release()


def _whole_frame(camera: Any) -> Picture | None:
    """The next frame that is whole; `None` if several in a row are not, or none comes for a second.
    For one without a byte OpenCV raises an error."""
    import cv2

    began = monotonic()
    for _ in range(_BAD_FRAMES):
        with suppress(cv2.error):
            if (frame := next_frame(camera)) is not None:
                return frame
        if monotonic() - began > _PATIENCE_S:
            break
    return None
