"""The losses of a training as a picture: a panel for each term, over all steps.

`python -m edgeanim.models.training.curves PART_1/losses.csv PART_2/losses.csv -o curves.png` joins
trainings that went on from each other; a line stands where a new one begins.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.errors import BadInput, UsageError, disk_errors, reports_errors
from edgeanim.core.files import atomic_path, must_spare
from edgeanim.core.native import write_png

Picture = NDArray[np.uint8]
_WIDTH, _HEIGHT = 300, 170
_COLUMNS = 4
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 30, 22
_INK, _FAINT, _LINE, _PAPER = (40, 40, 40), (205, 205, 205), (31, 97, 180), (255, 255, 255)


@dataclass(frozen=True)
class Curve:
    """One term: `steps` and `values` in order."""

    steps: tuple[float, ...]
    values: tuple[float, ...]


def read_losses(path: Path) -> dict[str, Curve]:
    """The curves in a `losses.csv`, terms in the order of their first line. `BadInput` if it is
    none."""
    points: dict[str, list[tuple[float, float]]] = {}
    try:
        with disk_errors(path), path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                point = float(row["step"]), float(row["value"])
                points.setdefault(row["term"], []).append(point)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise BadInput(
            "This is no list of losses as a training writes it.",
            where=path,
            hint="Curves are of the losses.csv of a training; move what is in the way of one.",
        ) from error
    if not points:
        raise BadInput("This list of losses is empty.", where=path)
    return {term: Curve(*zip(*found, strict=True)) for term, found in points.items()}


def join(parts: Sequence[dict[str, Curve]]) -> tuple[dict[str, Curve], tuple[float, ...]]:
    """Trainings that went on from each other as one, and the steps at which a new one began."""
    joined: dict[str, Curve] = {}
    starts: list[float] = []
    offset = 0.0
    for part in parts:
        for term, curve in part.items():
            before = joined.get(term, Curve((), ()))
            steps = tuple(step + offset for step in curve.steps)
            joined[term] = Curve(before.steps + steps, before.values + curve.values)
        offset += max(curve.steps[-1] for curve in part.values())
        starts.append(offset)
    return joined, tuple(starts[:-1])


def draw(curves: dict[str, Curve], starts: Sequence[float] = ()) -> Picture:
    """The panels [H, W, 3] as RGB, four to a row, all over the same steps."""
    last = max(curve.steps[-1] for curve in curves.values())
    panels = [_panel(term, curve, last, starts) for term, curve in curves.items()]
    blank = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    panels += [blank] * (-len(panels) % min(_COLUMNS, len(panels)))
    columns = min(_COLUMNS, len(panels))
    rows = [np.hstack(panels[i : i + columns]) for i in range(0, len(panels), columns)]
    return np.vstack(rows)


def write_curves(losses: Sequence[Path], out: Path) -> None:
    """Draw the curves of one or more `losses.csv` into the PNG `out`, whole or not at all."""
    curves, starts = join([read_losses(path) for path in losses])
    with atomic_path(out) as partial:
        write_png(partial, draw(curves, starts))


def _panel(term: str, curve: Curve, last: float, starts: Sequence[float]) -> Picture:
    """One term: its range at the axis, its last value beside its name."""
    import cv2

    panel = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    values = np.array(curve.values)
    shown = values[np.isfinite(values)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    if low == high:
        room = 0.5 * max(1.0, abs(low))
        low, high = low - room, high + room

    def place(step: float, value: float) -> tuple[int, int]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)
        return round(x), round(y)

    for value in (low, high):
        cv2.line(panel, place(0, value), place(last, value), _FAINT, 1)
        _write(panel, f"{value:.3g}", (4, place(0, value)[1] + 4), 0.36)
    for start in starts:
        cv2.line(panel, place(start, low), place(start, high), _FAINT, 1)
    for piece in _pieces(np.array(curve.steps)):
        line = [place(curve.steps[i], values[i]) for i in piece if np.isfinite(values[i])]
        if line:
            cv2.polylines(panel, [np.array(line, np.int32)], False, _LINE, 1, cv2.LINE_AA)
            cv2.circle(panel, line[-1], 2, _LINE, -1, cv2.LINE_AA)
    _write(panel, f"{term}  {curve.values[-1]:.3g}", (_LEFT, 18), 0.44)
    _write(panel, f"{last:g} steps", (_WIDTH - 82, _HEIGHT - 6), 0.38)
    return panel


def _pieces(steps: NDArray[np.float64]) -> list[NDArray[np.int_]]:
    """Indices of the points, cut where a term was not trained for a while."""
    gaps = np.diff(steps)
    cuts = np.flatnonzero(gaps > 3 * np.median(gaps)) + 1 if len(gaps) else np.array([], int)
    return np.split(np.arange(len(steps)), cuts)


def _write(panel: Picture, words: str, where: tuple[int, int], size: float) -> None:
    import cv2

    cv2.putText(panel, words, where, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("losses", nargs="+", type=Path, help="losses.csv, in the order of training")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the PNG to write")
    options = parser.parse_args(arguments)
    if options.out.suffix.lower() != ".png":
        raise UsageError("Curves are written as .png.", where=options.out)
    must_spare(options.out, options.losses)
    write_curves(options.losses, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
