"""The still and the motion tracks that ship: `python -m edgeanim.models.showcase FOLDER`.

The still is a held-out puppet; a track is what `regions` finds while such a puppet performs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.files import atomic_path
from edgeanim.models.data.puppets import Kind, make_puppet, render
from edgeanim.models.performances import PERFORMANCES, REST, Performance
from edgeanim.models.regions import COUNT
from edgeanim.models.shipped_files import STILL

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator

SEEDS: dict[Kind, int] = {"figure": 6_000_005, "upper body": 6_000_005, "face": 6_000_007}
"""Who performs. Puppets that no training has seen: training seeds lie far below."""
STILL_KIND: Kind = "upper body"
FRAMES, FPS = 48, 24.0


def showcase_still() -> NDArray[np.uint8]:
    """The shipped still, uint8 [256, 256, 3]: a puppet at rest."""
    puppet = make_puppet(SEEDS[STILL_KIND], STILL_KIND)
    still: NDArray[np.uint8] = render(puppet, REST).picture
    return still


def perform(performance: Performance, frames: int = FRAMES) -> NDArray[np.uint8]:
    """The pictures [T, 256, 256, 3] of a performance, a loop."""
    puppet = make_puppet(SEEDS[performance.kind], performance.kind)
    times = np.arange(frames) / frames
    return np.stack([render(puppet, performance.pose(float(t))).picture for t in times])


def absent_regions(performance: Performance) -> list[int]:
    """The regions that who performs this does not have: a face has no arms to move."""
    puppet = make_puppet(SEEDS[performance.kind], performance.kind)
    return sorted(set(range(COUNT)) - {int(region) for region in puppet.regions})


def extract_motion(
    animator: Animator, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Motion [T, K, 6] of square pictures [T, S, S, 3], each with its cue."""
    import cv2
    import torch

    size = (animator.config.size, animator.config.size)
    motions, before = [], None
    for original in pictures:
        picture = cv2.resize(original, size, interpolation=cv2.INTER_AREA)
        frame = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None] / 255.0
        cue = torch.zeros_like(frame) if before is None else frame - before
        with torch.no_grad():
            _, motion = animator.regions(frame, cue)
        motions.append(motion[0].numpy())
        before = frame
    return np.stack(motions)


def write_showcase(animator: Animator, folder: Path) -> None:
    """Write the still and a track per performance (`values` [T, K, 6] and `fps`).

    What the networks take for a region that the performer does not have is held still: it would
    move that region of whoever is animated.
    """
    import cv2

    with atomic_path(folder / STILL) as partial:
        cv2.imwrite(str(partial), showcase_still()[:, :, ::-1])
    for name, performance in PERFORMANCES.items():
        values = extract_motion(animator, perform(performance))
        absent = absent_regions(performance)
        values[:, absent] = values[:1, absent]
        with atomic_path(folder / f"{name}.npz") as partial:
            np.savez_compressed(partial, values=values, fps=np.float64(FPS))


def main() -> None:
    """The command of the module's docstring."""
    import argparse

    from edgeanim.models.export import load_shipped

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    write_showcase(load_shipped(), parser.parse_args().folder)


if __name__ == "__main__":
    main()
