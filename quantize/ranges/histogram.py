"""A streaming histogram of a tensor's values. It takes the same memory whatever their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.arrays import load_npz, save_npz
from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput
from edgeanim.core.files import canonical_json, write_text
from edgeanim.core.parsing import load_json, parse, to_plain

BINS = 8192
# Values counted of one tensor of one sample; its extremes are always those of all its values.
VALUES_PER_SAMPLE = 1 << 15

_COUNTS_FILE = "counts.npz"
_NAMES_FILE = "tensors.json"

Floats = NDArray[np.float64]


class Histogram:
    """Counts of a stream of values in `BINS` bins of equal width, zero on an edge in the middle.

    The width is a power of two and doubles as values grow, two bins becoming one, so the order of
    the samples makes no difference.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.counts = np.zeros(BINS, np.int64)
        self.zeros = 0
        self._width: float | None = None

    @classmethod
    def of(
        cls, counts: NDArray[np.int64], zeros: int, low: float, high: float, width: float
    ) -> Histogram:
        """One that has counted already."""
        made = cls()
        made.counts, made.zeros = counts, zeros
        made.low, made.high, made._width = low, high, width
        return made

    def add(self, values: Array) -> None:
        """Count `values`: all of them, or evenly spread ones where there are too many."""
        flat = values.reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not np.isfinite((low, high)).all():  # before Python's `min`, which passes over NaN
            raise BadInput(
                "The float graph itself gives NaN or infinity.",
                hint="Look at what it makes of these frames before it is quantised: its training "
                "diverged, or they are in another range than it was trained on.",
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-self.low, self.high))
        picked = flat[:: _stride(flat.size)]
        self.zeros += int(picked.size - np.count_nonzero(picked))
        places = np.floor(picked / picked.dtype.type(self.width)).astype(np.intp)
        places += BINS // 2
        self.counts += np.bincount(places.clip(0, BINS - 1, out=places), minlength=BINS)

    @property
    def width(self) -> float:
        """The width of a bin."""
        return self._width or 1.0

    @property
    def centres(self) -> Floats:
        """The middle of each bin."""
        middles: Floats = (np.arange(BINS, dtype=np.float64) - BINS // 2 + 0.5) * self.width
        return middles

    @property
    def filled(self) -> tuple[Floats, Floats]:
        """Counts and middles of the bins that hold anything."""
        held = self.counts > 0
        return self.counts[held].astype(np.float64), self.centres[held]

    def _widen(self, peak: float) -> None:
        """Make the bins reach `peak`."""
        tiny = float(np.finfo(np.float32).tiny)
        needed = 2.0 ** np.ceil(np.log2(max(peak, tiny) / (BINS // 2)))
        if self._width is None:
            self._width = needed
        while self._width < needed:
            middle = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.pad(middle, BINS // 4)
            self._width *= 2


def _stride(count: int) -> int:
    """From one value to be counted to the next, of `count`.

    It has no divisor in common with their number, and so none with that of channels or columns: it
    walks through all of them alike, whichever are innermost.
    """
    stride = max(1, count // VALUES_PER_SAMPLE)
    while gcd(stride, count) > 1:
        stride += 1
    return stride


Histograms = Mapping[str, Histogram]
"""Of a graph's tensors, by their names."""


@dataclass(frozen=True)
class _Named:
    tensors: tuple[str, ...]


def save_histograms(histograms: Histograms, folder: Path) -> None:
    """Write `histograms` into `folder`."""
    write_text(folder / _NAMES_FILE, canonical_json(to_plain(_Named(tuple(histograms)))))
    held = list(histograms.values())
    arrays = {
        "counts": np.array([each.counts for each in held], np.int64).reshape(-1, BINS),
        "zeros": np.array([each.zeros for each in held], np.int64),
        "extent": np.array([(each.low, each.high, each.width) for each in held]).reshape(-1, 3),
    }
    save_npz(folder / _COUNTS_FILE, arrays)


def load_histograms(folder: Path) -> dict[str, Histogram]:
    """Read what `save_histograms` wrote."""
    path = folder / _NAMES_FILE
    names = parse(_Named, load_json(path), where=path).tensors
    arrays = load_npz(folder / _COUNTS_FILE, required=("counts", "zeros", "extent"))
    columns = (arrays["counts"], arrays["zeros"], arrays["extent"])
    return {
        name: Histogram.of(counts, int(zeros), *map(float, extent))
        for name, counts, zeros, extent in zip(names, *columns, strict=True)
    }
