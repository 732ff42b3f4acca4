"""Interlaced clips, which OpenCV cannot convert: it then gives whatever its memory holds.

Since 4.13 it converts by a function of FFmpeg's that refuses such frames, and passes on neither the
refusal nor that frames are interlaced. FFmpeg's log tells, whose level is set once in a process, so
another process is asked; only about a clip whose first frames are equal, as all of these are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgeanim.core.errors import BadInput
from edgeanim.core.native import native_name

_FIRST_FRAME = """
import sys
sys.path.pop(0)
import cv2
cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG).read()
"""
_ERRORS = {"OPENCV_FFMPEG_LOGLEVEL": "16"}


def refuse_interlaced(path: Path) -> None:
    """`BadInput` if the frames of a clip cannot be converted since they are interlaced."""
    with native_name(path) as name:
        said = _said_of(name)
    if b"interlaced" in said:
        raise BadInput(
            "The clip is interlaced, which this machine's OpenCV cannot read.",
            where=path,
            hint="Convert it: ffmpeg -i CLIP -vf yadif NEW.mp4.",
        )


def _said_of(name: str) -> bytes:
    """What FFmpeg's log says when the first frame is decoded and converted."""
    command = (sys.executable, "-c", _FIRST_FRAME, name)
    env = {**os.environ, **_ERRORS}
    try:  # OpenCV prints that log to standard output
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError:  # no further process can be started
        return b""
    return done.stdout
