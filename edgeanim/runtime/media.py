"""The media that go in and come out: stills, clips to follow, finished animations."""

from __future__ import annotations

from edgeanim.runtime.animations import write_animation
from edgeanim.runtime.clips import (
    CLIP_SUFFIXES,
    DEFAULT_FPS,
    clips_in,
    is_clip_name,
    pictures_in,
    probe_fps,
    read_frames,
)
from edgeanim.runtime.stills import MAX_PIXELS, STILL_SUFFIXES, read_still

__all__ = [
    "CLIP_SUFFIXES",
    "DEFAULT_FPS",
    "MAX_PIXELS",
    "STILL_SUFFIXES",
    "clips_in",
    "is_clip_name",
    "pictures_in",
    "probe_fps",
    "read_frames",
    "read_still",
    "write_animation",
]
