"""A bar: what is asked of a figure, what was measured, and whether that is enough."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One bar: `measured` is in words, with its interval where it has one."""

    name: str
    asked: str
    measured: str
    met: bool


def line(bar: Bar) -> str:
    """The bar as a line of fixed-width text."""
    verdict = "met" if bar.met else "MISSED"
    return f"{bar.name:<52} {bar.asked:<16} {bar.measured:<40} {verdict}"
