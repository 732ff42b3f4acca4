"""Quantised inputs and outputs of others' graphs: the scale and zero point of each, so that a graph
that takes and gives 8-bit numbers is played like one that takes and gives floats.

Full-integer TFLite files state both; bytes of which nothing is said stand for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import Array

_BYTES: tuple[Literal["uint8", "int8"], ...] = ("uint8", "int8")


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point: the numbers q of `dtype` stand for (q - `zero`) * `scale`."""

    dtype: Literal["uint8", "int8"]
    scale: float = 1.0
    zero: int = 0

    @staticmethod
    def of(dtype: str, scale: float = 0.0, zero: int = 0) -> QuantParams | None:
        """Those of an input or output of this type; `None` where it has none, as floats, and as
        signed bytes without a scale, of which nobody knows what they mean."""
        for kind in _BYTES:
            if kind == dtype and scale > 0:
                return QuantParams(kind, scale, zero)
        return QuantParams("uint8") if dtype == "uint8" else None

    @property
    def range(self) -> tuple[float, float]:
        """What the least and the largest of the numbers stand for."""
        least, most = self._limits()
        return (least - self.zero) * self.scale, (most - self.zero) * self.scale

    def quantize(self, values: Array) -> NDArray[Any]:
        """The numbers that come nearest to `values`."""
        numbers = np.rint(values * np.float32(1 / self.scale)) + np.float32(self.zero)
        found: NDArray[Any] = numbers.clip(*self._limits()).astype(self.dtype)
        return found

    def dequantize(self, numbers: NDArray[Any]) -> Array:
        """What `numbers` stand for, float32."""
        return (numbers.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)

    def _limits(self) -> tuple[int, int]:
        known = np.iinfo(self.dtype)
        return int(known.min), int(known.max)


def quantized(quant: QuantParams | None, values: Array) -> NDArray[Any]:
    """What an input with these parameters is given for `values`: themselves where it has none."""
    return values if quant is None else quant.quantize(values)


def dequantized(quant: QuantParams | None, made: NDArray[Any]) -> Array:
    """What an output with these parameters means by what it `made`: itself where it has none."""
    return made if quant is None else quant.dequantize(made)
