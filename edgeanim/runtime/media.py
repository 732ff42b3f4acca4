"""The media that go in and come out: stills, clips to follow, finished animations."""

from __future__ import annotations

from edgeanim.runtime.animations import check_rate, write_animation
from edgeanim.runtime.clips import (
    CLIP_SUFFIXES,
    DEFAULT_FPS,
    at_rate,
    clips_in,
    files_read,
    is_clip_name,
    pictures_in,
    probe_fps,
    probe_length,
    read_frames,
    stated_fps,
)
from edgeanim.runtime.stills import MAX_PIXELS, STILL_SUFFIXES, read_still

__all__ = [
    "CLIP_SUFFIXES",
    "DEFAULT_FPS",
    "MAX_PIXELS",
    "STILL_SUFFIXES",
    "at_rate",
    "check_rate",
    "clips_in",
    "files_read",
    "is_clip_name",
    "pictures_in",
    "probe_fps",
    "probe_length",
    "read_frames",
    "read_still",
    "stated_fps",
    "write_animation",
]
