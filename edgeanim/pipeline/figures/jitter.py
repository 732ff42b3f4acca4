"""What smoothing a driver's motion does.

    python -m edgeanim.pipeline.figures.jitter BUNDLE CLIP...

Each clip drives its own first frame by the bundle's first variant, in absolute motion, with and
without smoothing (`runtime.smoothing`). Printed for both: `jitter`, the mean size of the second
difference of the regions' centres, in pixels of a 256-pixel picture; SSIM inside the moving area;
and the temporal error, in levels, as `edgeanim evaluate` has them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, reports_errors
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.evaluation.clips import clip_frames, find_clips
from edgeanim.models.evaluation.quality import QualitySums, Truth, moving_area
from edgeanim.models.evaluation.similarity import Reference, to_picture
from edgeanim.pipeline.motion import recording_motion
from edgeanim.pipeline.work import Work
from edgeanim.runtime.motion_options import MotionOptions
from edgeanim.runtime.player import load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.bundle import Bundle, open_bundle

_EVERY = 4
_HALF = 128.0


@dataclass(frozen=True)
class Played:
    """One way to play a clip: jitter in pixels, and `moving` and `temporal` as `Quality` has them
    of frames beside the real ones."""

    jitter: float
    moving: float
    temporal: float


def play(bundle: Bundle, clip: FrameSequence, *, smooth: bool) -> Played:
    """The clip driving its own first frame; every fourth frame is compared. `BadInput` if nothing
    moves in it."""
    centres: list[NDArray[np.float32]] = []
    record = recording_motion(bundle.contract, lambda motion: centres.append(motion[:, :2]))
    variant = bundle.variants[0]
    options = Work.on("local").options(variant.backend, 1)
    scene = Scene(clip.pictures[0], iter(clip.pictures))
    sums = QualitySums()
    motion = MotionOptions("raw", smooth=smooth)
    with load_player(bundle.contract, variant, options, record, motion=motion) as player:
        before: NDArray[np.uint8] | None = None
        for index, made in enumerate(player.play(scene)):
            if before is not None and index % _EVERY == 0:
                _add(sums, clip, index, made, before)
            before = made
    quality = sums.mean()
    if quality.moving is None or quality.temporal is None:
        raise BadInput("Nothing moves in this clip.", where=clip.name)
    second = np.diff(np.stack(centres), n=2, axis=0)
    jitter = float(np.linalg.norm(second, axis=2).mean()) * _HALF
    return Played(jitter, quality.moving, quality.temporal)


def _add(
    sums: QualitySums,
    clip: FrameSequence,
    index: int,
    made: NDArray[np.uint8],
    before: NDArray[np.uint8],
) -> None:
    still, real, earlier = (to_picture(clip.pictures[i]) for i in (0, index, index - 1))
    area = moving_area(still, real)
    sums.add(to_picture(made), Truth(Reference(real), still, area, area))
    sums.add_change(to_picture(made) - to_picture(before), real - earlier, area)


def _line(name: str, plain: Sequence[float], smooth: Sequence[float]) -> str:
    pairs = [
        f"{a:.{digits}f} -> {b:.{digits}f}"
        for a, b, digits in zip(plain, smooth, (2, 4, 2), strict=True)
    ]
    return "| " + " | ".join([name, *pairs]) + " |"


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("clips", type=Path, nargs="+", help="clips, or folders of them")
    options = parser.parse_args(arguments)
    figures = []
    print("| clip | jitter, px | SSIM, moving | temporal |\n|---|---|---|---|")
    with open_bundle(options.bundle) as bundle:
        for path in find_clips(options.clips):
            clip = clip_frames(path)
            both = [play(bundle, clip, smooth=smooth) for smooth in (False, True)]
            rows = [(p.jitter, p.moving, p.temporal) for p in both]
            figures.append(rows)
            print(_line(path.stem, *rows), flush=True)
    print(_line("mean", *np.mean(figures, axis=0).tolist()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
