"""A dataset at a glance: a row per sequence, its frames with the regions painted over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeanim.models.data.sequences import FrameSequence, region_table
from edgeanim.models.regions import BACKGROUND, UNKNOWN, region_colours

_COLUMNS, _SIDE = 6, 160
_CAPTION = 18
_STRENGTH = 0.5


def contact_sheet(sequences: Sequence[FrameSequence], captions: Sequence[str]) -> NDArray[np.uint8]:
    """Rows [H, W, 3] of six frames spread over each sequence, below its caption.

    Where regions are known, if only weakly, every second picture shows the one before it with its
    masks.
    """
    rows = [
        np.vstack([caption(text, _COLUMNS * _SIDE), _row(sequence)])
        for sequence, text in zip(sequences, captions, strict=True)
    ]
    return np.vstack(rows)


def caption(text: str, width: int) -> NDArray[np.uint8]:
    """`text` in black on a white strip [18, width, 3]."""
    import cv2

    strip = np.full((_CAPTION, width, 3), 255, np.uint8)
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(strip, plain, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _row(sequence: FrameSequence) -> NDArray[np.uint8]:
    masked = sequence.parts is not None or sequence.weak_labels is not None
    count = _COLUMNS // 2 if masked else _COLUMNS
    chosen = np.linspace(0, len(sequence.pictures) - 1, count).round().astype(int)
    cells: list[NDArray[np.uint8]] = []
    for index in chosen:
        cells.append(sequence.pictures[int(index)])
        if masked:
            cells.append(_painted(sequence, int(index)))
    return np.hstack([_small(cell) for cell in cells])


def _painted(sequence: FrameSequence, index: int) -> NDArray[np.uint8]:
    """A frame with the colours of its regions; what is none is dimmed, what is unknown as it is."""
    labels = _labels(sequence, index)
    unknown = labels == UNKNOWN
    paint = region_colours()[np.where(unknown, BACKGROUND, labels)] * 255
    strength = np.where(unknown, 0, _STRENGTH)[..., None]
    mixed = sequence.pictures[index] * (1 - strength) + paint * strength
    return np.asarray(mixed.round(), np.uint8)


def _labels(sequence: FrameSequence, index: int) -> NDArray[np.uint8]:
    if sequence.parts is not None:
        return np.asarray(region_table(sequence.parts.regions)[sequence.parts.shown[index]])
    assert sequence.weak_labels is not None
    return np.asarray(sequence.weak_labels[index])


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
