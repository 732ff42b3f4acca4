"""The still and the motion tracks that ship: `python -m edgeanim.models.showcase FOLDER`.

The still is a held-out puppet; a track is the motion of the regions of such a puppet performing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import reports_errors
from edgeanim.core.files import atomic_path
from edgeanim.core.native import write_png
from edgeanim.models.data.media import save_npz
from edgeanim.models.data.pairs import make_pair
from edgeanim.models.data.puppets.puppet import SIZE, Kind, make_puppet, render
from edgeanim.models.data.sequences import FrameSequence, parts_of
from edgeanim.models.performances import PERFORMANCES, REST, Performance
from edgeanim.models.regions import COUNT
from edgeanim.models.shipped_files import STILL

SEEDS: dict[Kind, int] = {"figure": 6_000_005, "upper body": 6_000_005, "face": 6_000_007}
"""Who performs. Puppets that no training has seen: training seeds lie far below."""
STILL_KIND: Kind = "upper body"
FRAMES, FPS = 48, 24.0


def showcase_still() -> NDArray[np.uint8]:
    """The shipped still, uint8 [256, 256, 3]: a puppet at rest."""
    puppet = make_puppet(SEEDS[STILL_KIND], STILL_KIND)
    still: NDArray[np.uint8] = render(puppet, REST).picture
    return still


def perform(performance: Performance, frames: int = FRAMES) -> FrameSequence:
    """A performance, a loop, with the masks and motion that the puppet is drawn by."""
    puppet = make_puppet(SEEDS[performance.kind], performance.kind)
    shown = [render(puppet, performance.pose(i / frames)) for i in range(frames)]
    return FrameSequence(
        performance.kind,
        np.stack([frame.picture for frame in shown]),
        tuple(range(frames)),
        parts_of(shown, puppet.regions),
    )


def exact_motion(performance: Performance, frames: int = FRAMES) -> NDArray[np.float32]:
    """Motion [T, K, 6] of a performance, from the masks and directions that the puppet is drawn by.

    What networks find in the pictures would tremble, and open a mouth half as far.
    """
    import torch
    from torch.nn.functional import one_hot

    from edgeanim.models.nets.moments import motion_of

    sequence = perform(performance, frames)
    motions = []
    for index in range(frames):
        # Masks are a quarter of a pair's size: so they are as fine as the drawing.
        pair = make_pair(sequence, 0, index, 4 * SIZE)
        labels = torch.from_numpy(pair.label_driving).long()
        mask = one_hot(labels, COUNT + 1)[None, :, :, :COUNT].permute(0, 3, 1, 2)
        motions.append(motion_of(mask, torch.from_numpy(pair.direction_driving)[None])[0].numpy())
    return np.stack(motions)


def write_showcase(folder: Path) -> None:
    """Write the still and a track per performance (`values` [T, K, 6] and `fps`)."""
    with atomic_path(folder / STILL) as partial:
        write_png(partial, showcase_still())
    for name, performance in PERFORMANCES.items():
        values = exact_motion(performance)
        save_npz(folder / f"{name}.npz", {"values": values, "fps": np.array(FPS, np.float64)})


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    import argparse

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    write_showcase(parser.parse_args(arguments).folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
