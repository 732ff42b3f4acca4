"""Ends of others' graphs that are 8-bit numbers: what these stand for, so that such a graph is
played like one that takes and gives floats.

Full-integer TFLite files state a scale and a zero point for theirs; bytes of which nothing is said
stand for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array

_BYTES: tuple[Literal["uint8", "int8"], ...] = ("uint8", "int8")


@dataclass(frozen=True)
class Grid:
    """The numbers q of `dtype` stand for (q - `zero`) * `scale`."""

    dtype: Literal["uint8", "int8"]
    scale: float = 1.0
    zero: int = 0

    @staticmethod
    def of(dtype: str, scale: float = 0.0, zero: int = 0) -> Grid | None:
        """That of an end of this type; `None` where it has none, as floats, and as signed bytes
        without a scale, of which nobody knows what they mean."""
        for kind in _BYTES:
            if kind == dtype and scale > 0:
                return Grid(kind, scale, zero)
        return Grid("uint8") if dtype == "uint8" else None

    @property
    def range(self) -> tuple[float, float]:
        """What the least and the largest of the numbers stand for."""
        least, most = self._limits()
        return (least - self.zero) * self.scale, (most - self.zero) * self.scale

    def rounded(self, values: Array) -> NDArray[Any]:
        """The numbers that come nearest to `values`."""
        numbers = np.rint(values * np.float32(1 / self.scale)) + np.float32(self.zero)
        found: NDArray[Any] = numbers.clip(*self._limits()).astype(self.dtype)
        return found

    def floats(self, numbers: NDArray[Any]) -> Array:
        """What `numbers` stand for, float32."""
        return (numbers.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)

    def _limits(self) -> tuple[int, int]:
        known = np.iinfo(self.dtype)
        return int(known.min), int(known.max)


def given_to(grid: Grid | None, values: Array) -> NDArray[Any]:
    """What an end with this grid is given for `values`: themselves where it has none."""
    return values if grid is None else grid.rounded(values)


def taken_from(grid: Grid | None, made: NDArray[Any]) -> Array:
    """What an end with this grid means by what it `made`: itself where it has none."""
    return made if grid is None else grid.floats(made)
