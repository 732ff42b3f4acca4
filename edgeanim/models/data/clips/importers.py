"""Real material: a clip, an animated picture, a folder of frames or a sheet of sprites."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.models.data.media import flatten, read_frames, read_still
from edgeanim.models.data.puppets.puppet import SIZE
from edgeanim.models.data.textures import Picture

Fit = Literal["crop", "pad"]


def clip_pictures(
    path: Path, *, fit: Fit = "crop", every: int = 1, limit: int | None = None
) -> Iterator[Picture]:
    """The frames of whatever `runtime.media.read_frames` reads, on the canvas [S, S, 3].

    `crop` keeps the middle square, `pad` the whole picture, its edges repeated around it. Only
    every `every`-th frame is taken, and `limit` of them at most. `BadInput` as from `read_frames`.
    """
    if every < 1 or (limit is not None and limit < 2):
        raise UsageError("`every` must be at least 1, and `limit` at least 2.")
    frames = itertools.islice(read_frames(path), 0, None, every)
    for frame in itertools.islice(frames, limit):
        yield to_canvas(frame, fit)


def fit_of(path: Path) -> Fit:
    """`pad` if the edges of the first frame have one colour all round, as what is drawn on a plain
    ground has: cropped, a character beside the middle would be cut."""
    first = next(read_frames(path), None)
    if first is None:
        return "crop"
    edges = np.concatenate([first[0], first[-1], first[:, 0], first[:, -1]])
    return "pad" if not np.ptp(edges, axis=0).any() else "crop"


def sheet_pictures(path: Path, cell: tuple[int, int], *, fit: Fit = "pad") -> list[list[Picture]]:
    """The cells (width, height) of a sprite sheet, row by row, on the canvas; empty ones left out.

    A cell is empty if it has one colour only. `BadInput` if the cells do not fill the sheet.
    """
    if min(cell) < 1:
        raise UsageError(
            f"A cell of {cell[0]}x{cell[1]} pixels holds nothing.",
            hint="Give its width and height, like 64x48.",
        )
    sheet = flatten(read_still(path))
    height, width = sheet.shape[:2]
    for side, total, name in ((cell[0], width, "wide"), (cell[1], height, "high")):
        if total % side:
            raise BadInput(
                f"The sheet is {total} pixels {name}, which is no multiple of {side}.",
                where=path,
                hint=f"Perhaps the cell is {_nearest_divisor(total, side)} pixels {name}.",
            )
    rows = []
    for top in range(0, height, cell[1]):
        cells = [
            sheet[top : top + cell[1], left : left + cell[0]] for left in range(0, width, cell[0])
        ]
        rows.append([to_canvas(c, fit) for c in cells if np.ptp(c, axis=(0, 1)).any()])
    return [row for row in rows if row]


def to_canvas(picture: Picture, fit: Fit) -> Picture:
    """An RGB picture of any size as the square that training uses."""
    import cv2

    height, width = picture.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square: Any = picture[top : top + side, left : left + side]
    else:
        side = max(height, width)
        rows, columns = side - height, side - width
        square = cv2.copyMakeBorder(
            picture,
            rows // 2,
            rows - rows // 2,
            columns // 2,
            columns - columns // 2,
            cv2.BORDER_REPLICATE,
        )
    shrinks = side > SIZE
    return np.asarray(
        cv2.resize(
            square, (SIZE, SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        ),
        np.uint8,
    )


def _nearest_divisor(total: int, wanted: int) -> int:
    """Of a side, but never a single pixel, which is no picture."""
    sides = (side for side in range(2, total + 1) if total % side == 0)
    return min(sides, key=lambda side: abs(math.log(side / wanted)), default=total)
