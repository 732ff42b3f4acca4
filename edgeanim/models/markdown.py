"""Cells and rows of the tables in Markdown that programs of this folder print for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from edgeanim.core.errors import printable
from edgeanim.core.figures import decimals


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(map(printable, cells)) + " |"


def figure(value: float | None, digits: int = 2) -> str:
    """A figure in a table's cell, or a dash where there is none."""
    return "-" if value is None else decimals(value, digits)
