"""The pictures on which Magenta's style net is optimised and judged: run it as a script.

    python tests/pipeline/photographs.py MEDIA OUT

MEDIA has the folders `clips_asl`, `clips_bird`, `clips_head` and `stills`. Writes `OUT/photos`, 51
frames of nine signers, a bird and a head, for calibration and selection, and `OUT/others`, 16
pictures that share none of them: three stills, three other signers, later parts of bird and head.
All are square, of 384 pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from edgeanim.runtime.media import read_frames
from edgeanim.runtime.pictures import scaled
from edgeanim.runtime.scene import Picture

_SIZE = 384
_SIGNERS = ("again", "bird", "brother", "eat", "help", "hungry", "learn", "milk", "please")
_OTHER_SIGNERS = ("book", "night", "no")
_STILLS = ("astronaut", "chelsea", "horse")


def photos(media: Path) -> Iterator[tuple[str, Picture]]:
    """The pictures of `photos`, each with its name."""
    for name in _SIGNERS:
        yield from _frames(media / f"clips_asl/{name}.mkv", 0.0, 1.0, 5)
    yield from _frames(media / "clips_bird/cockatoo.mp4", 0.0, 0.5, 3)
    yield from _frames(media / "clips_head/head_turn_a.gif", 0.0, 0.5, 3)


def others(media: Path) -> Iterator[tuple[str, Picture]]:
    """The pictures of `others`, each with its name."""
    for name in _STILLS:
        yield from _frames(media / f"stills/{name}.png", 0.0, 1.0, 1)
    for name in _OTHER_SIGNERS:
        yield from _frames(media / f"clips_asl/{name}.mkv", 0.0, 1.0, 3)
    yield from _frames(media / "clips_bird/cockatoo.mp4", 0.6, 1.0, 2)
    yield from _frames(media / "clips_head/head_turn_a.gif", 0.6, 1.0, 2)


def _frames(path: Path, start: float, end: float, count: int) -> Iterator[tuple[str, Picture]]:
    """`count` frames, evenly spaced over the part of `path` from `start` to `end` (0..1)."""
    frames = list(read_frames(path))
    for index in np.linspace(start, end, count) * (len(frames) - 1):
        yield f"{path.stem}_{index:03.0f}", _square(frames[round(index)])


def _square(picture: Picture) -> Picture:
    """The middle of `picture`."""
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return scaled(picture[top : top + side, left : left + side], (_SIZE, _SIZE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("media", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for pictures in (photos, others):
        folder = options.out / pictures.__name__
        folder.mkdir(parents=True)
        for name, picture in pictures(options.media):
            Image.fromarray(picture).save(folder / f"{name}.png")
        print(f"{folder}: {len(list(folder.iterdir()))} pictures")


if __name__ == "__main__":
    main()
