"""INT8 weights that fill all 8 bits: on x86 without VNNI, sums of their products overflow.

Such a processor adds pairs of products of unsigned and signed 8-bit numbers in 16 bits, which
saturate. Weights of 7 bits cannot get there, so a board without VNNI gets those. A bundle that was
made for another board, or on a newer PC for itself, has to be noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.core.artifact import CompiledGraph

if TYPE_CHECKING:
    from edgeanim.targets.board import Board

ONLY_WITH_VNNI = "on x86 only with VNNI"
"""What is said of a variant that needs it, wherever variants are listed."""

_SAFE = 64
"""The largest weight in steps of a 7-bit grid: two products of it with 255 stay within 16 bits."""


def fill_8_bits(weights: Iterable[NDArray[Any]]) -> bool:
    """Whether any of the INT8 `weights` is too large for 7 bits."""
    return any(np.abs(each.astype(np.int16)).max(initial=0) > _SAFE for each in weights)


def overflows(graphs: Iterable[CompiledGraph], board: Board) -> bool:
    """Whether `board` would compute wrong frames with a variant of these `graphs`."""
    return board.saturates_u8s8 and any(graph.needs_vnni for graph in graphs)


def overflow_warning(variant: str) -> str:
    """What is wrong with a variant that overflows, and what to do about it."""
    return (
        f"{variant} has 8-bit weights, whose products overflow on this processor: it has no VNNI. "
        "Quantise on it, or with --board x86-avx2, which keeps weights to 7 bits."
    )
