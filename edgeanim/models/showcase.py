"""The still and the motion tracks that ship: `python -m edgeanim.models.showcase FOLDER`.

The still is a held-out puppet; a track is what `regions` finds while that puppet acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.files import atomic_path
from edgeanim.models.data.actions import make_action
from edgeanim.models.data.puppets import Puppet, make_puppet, render
from edgeanim.models.shipped_files import STILL

if TYPE_CHECKING:
    from edgeanim.models.animator import Animator

SEED = 6_000_010
"""A puppet that no training has seen: training seeds lie far below."""
TRACKS = {"wave": 0.2, "sway": 0.15, "nod": 1.0}
"""The acts that ship, and how far into its period each goes before it comes back. The first
version of the animator cannot follow a limb far from where the still has it."""
FRAMES, FPS = 48, 24.0


def showcase_still() -> NDArray[np.uint8]:
    """The shipped still, uint8 [256, 256, 3]: the puppet before it begins to wave."""
    still: NDArray[np.uint8] = act(make_puppet(SEED), "wave", 0.0, frames=1)[0]
    return still


def act(puppet: Puppet, name: str, reach: float, frames: int = FRAMES) -> NDArray[np.uint8]:
    """The puppet's pictures [T, 256, 256, 3] as it goes into an action and back: a loop."""
    pose = make_action(SEED, puppet.kind, name).pose
    times = reach * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / frames))
    return np.stack([render(puppet, pose(float(time))).picture for time in times])


def extract_motion(
    animator: Animator, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Motion [T, K, 6] of pictures [T, H, W, 3] of the animator's size, each with its cue."""
    import torch

    motions, before = [], None
    for picture in pictures:
        frame = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None] / 255.0
        cue = torch.zeros_like(frame) if before is None else frame - before
        with torch.no_grad():
            _, motion = animator.regions(frame, cue)
        motions.append(motion[0].numpy())
        before = frame
    return np.stack(motions)


def write_showcase(animator: Animator, folder: Path) -> None:
    """Write the still and a track per action of `TRACKS` (`values` [T, K, 6] and `fps`)."""
    import cv2

    puppet = make_puppet(SEED)
    with atomic_path(folder / STILL) as partial:
        cv2.imwrite(str(partial), showcase_still()[:, :, ::-1])
    for name, reach in TRACKS.items():
        values = extract_motion(animator, act(puppet, name, reach))
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
