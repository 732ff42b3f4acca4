"""OpenCV, whose FFmpeg reads clips and cameras and writes clips."""

from __future__ import annotations

import os
from typing import Any

from edgeanim.runtime.scene import Picture

_SILENT = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "OFF"}


def silent_cv2() -> Any:
    """OpenCV with the messages of its demuxers and its own off; they ask for this once, when they
    are first used."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
    import cv2

    return cv2


def next_frame(capture: Any) -> Picture | None:
    """The next frame of a `VideoCapture` as RGB; `None` at its end, or for one that is damaged."""
    import cv2

    got, frame = capture.read()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if got else None
