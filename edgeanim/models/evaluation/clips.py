"""Clips to score an animator on: which files, and what of them is looked at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import UsageError
from edgeanim.core.files import must_exist
from edgeanim.core.parsing import nearest
from edgeanim.core.progress import SILENT, Progress
from edgeanim.models.data.clips.importers import clip_pictures, fit_of
from edgeanim.models.data.clips.scenes import SceneFinder
from edgeanim.models.data.media import some_clips_in
from edgeanim.models.data.sequences import FrameSequence, scenes_of

_MAX_FRAMES = 900


def find_clips(places: Sequence[Path], names: Sequence[str] = ()) -> list[Path]:
    """The files among `places` and the clips in the folders among them, by name; if `names` are
    given, those alone whose file name without suffix is one of them.

    `BadInput` for a folder without clips, `UsageError` for a name that no clip has.
    """
    for at in places:
        must_exist(at)
    found = [clip for at in places for clip in (some_clips_in(at) if at.is_dir() else [at])]
    known = sorted({clip.stem for clip in found})
    for name in names:
        if name not in known:
            raise UsageError(f"There is no clip called {name!r}.", hint=nearest(name, known))
    return [clip for clip in found if not names or clip.stem in names]


def clip_frames(path: Path) -> FrameSequence:
    """The first scene in the first 900 frames of a clip or animation on the canvas. What is drawn
    on a plain ground is shown whole, of anything else the middle square. `BadInput` if it has less
    than two frames."""
    return _scenes(path)[0]


def _scenes(path: Path) -> list[FrameSequence]:
    finder = SceneFinder()
    kept = dict(enumerate(finder.watch(itertools.islice(squares(path), _MAX_FRAMES))))
    return scenes_of(path, kept, finder.scenes())


def squares(path: Path) -> Iterator[NDArray[np.uint8]]:
    """All frames, uint8 [S, S, 3], that such a clip would have."""
    return clip_pictures(path, fit=fit_of(path))


def check_clips(paths: Sequence[Path], progress: Progress = SILENT) -> None:
    """`BadInput` for the first of these files of which `clip_frames` will not read all: only at its
    end does a clip turn out to break off, and scores of minutes would be lost by then."""
    if not paths:
        return
    progress.stage("reading clips", len(paths))
    cut = []
    for path in paths:
        cut += [path.name] * (len(_scenes(path)) > 1)
        progress.step(note=path.name)
    progress.done(f"up to the first cut of {', '.join(cut)}" if cut else "")
