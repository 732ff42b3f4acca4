"""Inputs and outputs of others' graphs that are not float32: what the numbers there stand for, so
that a graph which takes and gives 8-bit numbers or half floats is played like any other.

Full-integer TFLite files state scale and zero point; bytes of which nothing is said stand for
themselves, as half floats do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array

_BYTES: tuple[Literal["uint8", "int8"], ...] = ("uint8", "int8")


class Numbers(Protocol):
    """Numbers of a `dtype` that stand for floats."""

    @property
    def dtype(self) -> str:
        """In NumPy's words."""

    @property
    def range(self) -> tuple[float, float] | None:
        """What the least and the largest of them stand for; `None` if that tells nothing."""

    def encode(self, values: Array) -> NDArray[Any]:
        """The numbers that come nearest to `values`."""

    def decode(self, numbers: NDArray[Any]) -> Array:
        """What `numbers` stand for, float32."""


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point: the numbers q of `dtype` stand for (q - `zero`) * `scale`."""

    dtype: Literal["uint8", "int8"]
    scale: float = 1.0
    zero: int = 0

    @property
    def range(self) -> tuple[float, float]:
        least, most = self._limits()
        return (least - self.zero) * self.scale, (most - self.zero) * self.scale

    def encode(self, values: Array) -> NDArray[Any]:
        numbers = np.rint(values * np.float32(1 / self.scale)) + np.float32(self.zero)
        found: NDArray[Any] = numbers.clip(*self._limits()).astype(self.dtype)
        return found

    def decode(self, numbers: NDArray[Any]) -> Array:
        return (numbers.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)

    def _limits(self) -> tuple[int, int]:
        known = np.iinfo(self.dtype)
        return int(known.min), int(known.max)


@dataclass(frozen=True)
class HalfFloats:
    """Half floats, which stand for themselves; beyond 65504 there is but infinity."""

    dtype: Literal["float16"] = "float16"
    range: None = None

    def encode(self, values: Array) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            return values.astype(np.float16)

    def decode(self, numbers: NDArray[Any]) -> Array:
        return numbers.astype(np.float32)


def numbers_of(dtype: str, scale: float = 0.0, zero: int = 0) -> Numbers | None:
    """What an input or output of this type stands for; `None` where that is itself, as of float32,
    or unknown, as of signed bytes without a scale."""
    if dtype == "float16":
        return HalfFloats()
    for kind in _BYTES:
        if kind == dtype and scale > 0:
            return QuantParams(kind, scale, zero)
    return QuantParams("uint8") if dtype == "uint8" else None


def encoded(numbers: Numbers | None, values: Array) -> NDArray[Any]:
    """What an input is given for `values`: themselves where its numbers stand for nothing else."""
    return values if numbers is None else numbers.encode(values)


def decoded(numbers: Numbers | None, made: NDArray[Any]) -> Array:
    """What an output means by what it `made`: itself where its numbers stand for nothing else."""
    return made if numbers is None else numbers.decode(made)
