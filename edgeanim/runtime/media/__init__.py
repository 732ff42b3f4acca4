"""The media that go in and come out: stills, clips to follow, finished animations."""

from __future__ import annotations

from edgeanim.runtime.media.animations import check_rate, most_fps, write_animation
from edgeanim.runtime.media.cameras import is_camera
from edgeanim.runtime.media.folders import (
    CLIPS,
    clips_in,
    files_below,
    files_read,
    is_clip,
    is_still,
    pictures_in,
    some_clips_in,
)
from edgeanim.runtime.media.rates import (
    DEFAULT_FPS,
    Paced,
    UntilItFails,
    as_they_come,
    probe_fps,
    steady_frames,
    steady_numbers,
    within,
)
from edgeanim.runtime.media.reading import is_live, probe_length, read_frames, read_stills
from edgeanim.runtime.media.stills import MAX_PIXELS, STILL_SUFFIXES, read_still
from edgeanim.runtime.media.y4m import STANDARD_OUTPUT, standard_output, write_stream
from edgeanim.runtime.media.y4m_reader import STANDARD_INPUT

__all__ = [
    "CLIPS",
    "DEFAULT_FPS",
    "MAX_PIXELS",
    "STANDARD_INPUT",
    "STANDARD_OUTPUT",
    "STILL_SUFFIXES",
    "Paced",
    "UntilItFails",
    "as_they_come",
    "check_rate",
    "clips_in",
    "files_below",
    "files_read",
    "is_camera",
    "is_clip",
    "is_live",
    "is_still",
    "most_fps",
    "pictures_in",
    "probe_fps",
    "probe_length",
    "read_frames",
    "read_still",
    "read_stills",
    "some_clips_in",
    "standard_output",
    "steady_frames",
    "steady_numbers",
    "within",
    "write_animation",
    "write_stream",
]
