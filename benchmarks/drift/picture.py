"""The frame that drifted most, as a picture: original, variant, their difference enlarged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.drift.frames import Frames
from edgeanim.core.files import atomic_path
from edgeanim.core.native import write_png

GAIN = 8
"""By how much the difference is enlarged around mid-grey."""
_GREY = 128
_GAP = 4


def pictures_beside(report: Path) -> Path:
    """The folder for the pictures of the report that is written to `report`. The report names it,
    so what is not UTF-8 in its name becomes a question mark, and what no such name may hold (the
    colon of a time, say: see `core.files.inside`) a dash."""
    stem = re.sub(r"[:\\]", "-", report.stem.encode(errors="replace").decode())
    return report.with_name(f"{stem}-frames")


def save_worst(
    folder: Path, number: int, variant: str, frames: Frames, reference: Frames, index: int
) -> str:
    """Write frame `index` of both clips as PNG into `folder`, which need not exist; returns the
    file's name with the folder's, as a report beside the folder tells it."""
    name = picture_name(number, variant, index)
    with atomic_path(folder / name) as partial:
        write_png(partial, side_by_side(reference[index], frames[index]))
    return f"{folder.name}/{name}"


def picture_name(number: int, variant: str, index: int) -> str:
    """The name of the file with frame `index` of the `number`-th variant."""
    return f"{number}-{re.sub(r'[^A-Za-z0-9._-]', '_', variant)[:80]}-worst-{index}.png"


def side_by_side(reference: NDArray[np.uint8], frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB: `reference`, `frame`, and their difference times `GAIN` around mid-grey, uint8
    [H, 3 W + 8, 3]; transparent parts are left out."""
    difference = frame[:, :, :3].astype(np.int16) - reference[:, :, :3]
    enlarged = np.clip(_GREY + GAIN * difference, 0, 255).astype(np.uint8)
    gap = np.full((frame.shape[0], _GAP, 3), 255, np.uint8)
    parts = [reference[:, :, :3], gap, frame[:, :, :3], gap, enlarged]
    return np.concatenate(parts, axis=1)
