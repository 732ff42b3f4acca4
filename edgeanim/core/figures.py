"""Figures in text."""

from __future__ import annotations


def decimals(value: float, digits: int) -> str:
    """A figure with so many decimals; what rounds to nothing has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"
