"""Contact sheets of what a bundle animates: one still, one driver, a few moments of both.

    python docs/sheets.py net.eab -o sheet.png STILL=DRIVER STILL+MORE=DRIVER ...

DRIVER is a clip or the name of a stored motion, MORE a clip or a folder of further stills. A row
shows the still, then for each moment the driver's frame (nothing for a stored motion) above what
the bundle made of the still. It is played by `edgeanim animate`'s own function, on the variant that
this takes by itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeanim import api
from edgeanim.core.errors import BadInput, UsageError, reports_errors
from edgeanim.runtime.media import read_frames, read_still

SIDE, MOMENTS, FRAMES = 160, 6, 72
Picture = NDArray[np.uint8]


class Scene(NamedTuple):
    """What a row shows."""

    still: Path
    more_stills: Path | None
    driver: str


def sheet(bundle: Path, scenes: list[Scene], *, absolute: bool) -> Picture:
    """All rows [H, W, 3] RGB, a thin line between them."""
    rows = [row(bundle, scene, absolute=absolute) for scene in scenes]
    line = np.full((4, rows[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for made in rows for part in (made, line)][:-1])


def row(bundle: Path, scene: Scene, *, absolute: bool) -> Picture:
    """The still, then columns of driver over result."""
    still, more_stills, driver = scene
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "frames"
        api.animate(
            bundle,
            still=still,
            more_stills=more_stills,
            drive=driver,
            out=out,
            limit=FRAMES,
            relative=not absolute,
        )
        made = [read_still(path)[:, :, :3] for path in sorted(out.glob("*.png"))]
    drivers = list(read_frames(Path(driver), limit=FRAMES)) if Path(driver).exists() else []
    chosen = np.linspace(0, len(made) - 1, MOMENTS).round().astype(int)
    columns = [np.vstack([cell(read_still(still)[:, :, :3]), blank()])]
    for index in chosen:
        shown = cell(drivers[index]) if drivers else blank()
        columns.append(np.vstack([shown, cell(made[index])]))
    return np.hstack(columns)


def cell(picture: Picture) -> Picture:
    """A picture fitted into a square of SIDE."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    square = blank()
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def blank() -> Picture:
    """An empty cell."""
    return np.full((SIDE, SIDE, 3), 235, np.uint8)


def parse_scene(text: str) -> Scene:
    """A still, further ones, if any, and what drives them."""
    stills, equals, driver = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} names no driver.", hint="Write it as STILL=DRIVER.")
    # Names of files may hold the sign.
    alone = Path(stills).exists()
    still, plus, more = (stills, "", "") if alone else stills.partition("+")
    return Scene(Path(still), Path(more) if plus else None, driver)


@reports_errors
def main() -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scenes", nargs="+", metavar="STILL[+MORE]=DRIVER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--absolute", action="store_true", help="as `animate` has it")
    arguments = parser.parse_args()
    scenes = [parse_scene(text) for text in arguments.scenes]
    made = sheet(arguments.bundle, scenes, absolute=arguments.absolute)
    if not cv2.imwrite(str(arguments.out), made[:, :, ::-1]):
        raise BadInput("No sheet can be written here.", where=arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
