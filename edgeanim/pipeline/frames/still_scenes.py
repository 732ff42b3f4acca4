"""Clips, or stills and what moves them, as scenes of a model that animates stills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.quantize.calibration.coverage import evenly, thin
from edgeanim.runtime.following import NEEDS_TWO_FRAMES
from edgeanim.runtime.input_scenes import blank, moments_told, repeated
from edgeanim.runtime.media import read_still
from edgeanim.runtime.moments import at_moments, conditions_at
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Picture, Scene

if TYPE_CHECKING:
    from edgeanim.core.artifact import Array

_UNMOVED = "Stills alone do not say how to move."


def clip_scene(
    clip: Iterable[Picture],
    contract: Contract,
    conditions: Mapping[str, Array],
    limit: int,
    where: str | Path,
) -> Scene:
    """The first frame of `clip` as the still, driven by at most `limit` of its frames, evenly
    spread; the conditions are those of the frames that are kept."""
    count = 0

    def numbered() -> Iterator[tuple[int, Picture]]:
        nonlocal count
        for frame in clip:
            yield count, frame
            count += 1

    kept = thin(numbered(), limit)
    if len(kept) < 2:
        raise BadInput("This is a clip of one frame.", where=where, hint=NEEDS_TWO_FRAMES)
    numbers, frames = zip(*kept, strict=True)
    own = conditions_at(conditions, np.array(numbers, np.intp), count, contract)
    return Scene(frames[0], np.stack(frames), None, own)


def moved_by_tracks(
    stills: Sequence[Path],
    tracks: Sequence[MotionTrack],
    conditions: Mapping[str, Array],
    where: Path,
) -> list[Scene]:
    """Each still with one of `tracks`, in turn; `UsageError` where there is none."""
    if not tracks:
        raise UsageError(
            _UNMOVED,
            where=where,
            hint="Give clips. Of one whose frames are a FOLDER of pictures, make a DATASET, which "
            "holds clips: edgeanim dataset import FOLDER -o DATASET",
        )
    return [
        Scene(read_still(still), None, tracks[i % len(tracks)], conditions)
        for i, still in enumerate(stills)
    ]


def moved_by_inputs(
    stills: Sequence[Path],
    contract: Contract,
    conditions: Mapping[str, Array],
    limit: int,
    where: Path,
) -> list[Scene]:
    """At most `limit` stills, each with its share of the moments that `conditions` tell;
    `UsageError` where they tell of one only."""
    count = moments_told(conditions, contract)
    if count < 2:
        raise UsageError(
            _UNMOVED,
            where=where,
            hint="Give an --input of one value for each frame, as sound and poses are, or clips.",
        )
    shown = stills[:limit]
    kept = evenly(count, max(2, limit // len(shown)))
    driver = repeated(blank(contract), count)
    return [
        at_moments(Scene(read_still(still), driver, None, conditions), kept, contract)
        for still in shown
    ]
