"""The one door from the models to the runtime's checked readers (see decision 4)."""

from __future__ import annotations

from edgeanim.core.arrays import load_npz, save_npz
from edgeanim.runtime.media import pictures_in, read_frames, read_still, some_clips_in
from edgeanim.runtime.media.stills import head_of, is_image
from edgeanim.runtime.pictures import flatten, scaled

__all__ = [
    "flatten",
    "head_of",
    "is_image",
    "load_npz",
    "pictures_in",
    "read_frames",
    "read_still",
    "save_npz",
    "scaled",
    "some_clips_in",
]
