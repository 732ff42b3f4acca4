"""What further stills of a character bring.

    python -m edgeanim.pipeline.figures.more_stills BUNDLE CLIP…

Of each clip the first three fifths are given as further stills, and the rest drives its first
frame. Printed is the share of the SSIM that the repeated still loses where something moves and that
is won back, and the error of the change from frame to frame there, in levels, with that still alone
and with the further ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import UsageError, reports_errors
from edgeanim.models.data.sequences import FrameSequence
from edgeanim.models.evaluation.clips import clip_frames, find_clips
from edgeanim.models.evaluation.score import Score, Shot, score_set
from edgeanim.models.evaluation.sets import clip_shot
from edgeanim.pipeline.playable import choose_variant
from edgeanim.pipeline.reenacted import Played
from edgeanim.pipeline.stills import MOST_STILLS
from edgeanim.pipeline.work import Work
from edgeanim.quantize.calibration.coverage import evenly
from edgeanim.targets.bundle import open_bundle

_SEEN = 0.6
Row = tuple[str, Score, Score]


def scores(
    bundle: Path, clips: Sequence[Path], *, variant: str | None, stills: int, refine: bool
) -> list[Row]:
    """For each clip its name, the score with its first frame alone, and with so many further
    `stills` of its first part."""
    rows = []
    work = Work.on("local")
    with open_bundle(bundle) as opened:
        chosen = choose_variant(opened.variants, variant, work)
        options = work.options(chosen.backend, None)
        with Played.opened(opened.contract, chosen, options, refine=refine) as played:
            for clip in clips:
                shot, further = _parts(clip_frames(clip), stills)
                alone = score_set(played, clip.stem, [shot], played.size)
                played.more_stills = further
                rows.append((clip.stem, alone, score_set(played, clip.stem, [shot], played.size)))
                played.more_stills = ()
    return rows


def _parts(sequence: FrameSequence, stills: int) -> tuple[Shot, list[NDArray[np.uint8]]]:
    """What is scored, and the further stills."""
    begin = round(_SEEN * len(sequence.pictures))
    further = [sequence.pictures[i] for i in evenly(begin, stills)]
    return clip_shot(sequence, begin), further


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("clips", type=Path, nargs="+", help="clips, and folders of them")
    parser.add_argument("--variant", help="which of the bundle's [the board's]")
    parser.add_argument("--stills", type=int, default=MOST_STILLS, help="further stills, at most")
    parser.add_argument("--refine", action="store_true", help="refine the motion")
    options = parser.parse_args(arguments)
    if options.stills < 1:
        raise UsageError("At least one further still is needed.", where="--stills")
    rows = scores(
        options.bundle,
        find_clips(options.clips),
        variant=options.variant,
        stills=options.stills,
        refine=options.refine,
    )
    print("| clip | one still | with further ones | temporal: still | one | further |")
    print("|" + "---|" * 6)
    for name, one, more in rows:
        errors = (one.still.temporal, one.animator.temporal, more.animator.temporal)
        print(
            f"| {name} | {_told(one.won)} | {_told(more.won)} | {' | '.join(map(_told, errors))} |"
        )
    return 0


def _told(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.2f}"


if __name__ == "__main__":
    sys.exit(main())
