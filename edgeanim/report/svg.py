"""Inline SVG, piece by piece: axes, grids, text. No script; colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
CHARACTER = 6.4
"""About the width of a letter in a drawing."""
# As many colours of lines and parts as the style sheet has.
SERIES = 6


@dataclass(frozen=True)
class Axis:
    """A linear axis from 0 to the last tick, drawn over the pixels `start..end`."""

    ticks: tuple[float, ...]
    start: float
    end: float

    @classmethod
    def over(cls, largest: float, start: float, end: float, *, count: int = 5) -> Axis:
        """Round ticks that reach `largest`, about `count` of them."""
        step = _round_step(max(largest, 1e-9) / count)
        steps = max(1, math.ceil(largest / step - 1e-9))
        return cls(tuple(i * step for i in range(steps + 1)), start, end)

    def at(self, value: float) -> float:
        """The pixel of `value`."""
        return self.start + (self.end - self.start) * value / self.ticks[-1]

    def label(self, tick: float) -> str:
        """The tick's text, with as many decimals as the step needs."""
        step = self.ticks[1] - self.ticks[0]
        return f"{tick:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def grid_x(axis: Axis, top: float, base: float) -> str:
    """Vertical lines at the ticks from `top` to `base`, with their labels below."""
    return "".join(
        f'<line class="grid" x1="{axis.at(t):.1f}" x2="{axis.at(t):.1f}" y1="{top}" y2="{base}"/>'
        + text(axis.at(t), base + 16, axis.label(t))
        for t in axis.ticks
    )


def grid_y(axis: Axis, left: float, right: float) -> str:
    """Horizontal lines at the ticks from `left` to `right`, with their labels before them."""
    return "".join(
        f'<line class="grid" x1="{left}" x2="{right}" y1="{axis.at(t):.1f}" '
        f'y2="{axis.at(t):.1f}"/>' + text(left - 8, axis.at(t) + 4, axis.label(t), anchor="end")
        for t in axis.ticks
    )


def text(x: float, y: float, words: str, *, anchor: str = "middle", kind: str = "tick") -> str:
    """Words at a place; `kind` is the class in the style sheet."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def name_before(x: float, y: float, name: str) -> str:
    """A name that ends at `x`; where the room before that is too small, its beginning and end."""
    room = int(x / CHARACTER)
    if len(name) > room:
        first = room // 3
        name = f"{name[:first]}…{name[first + 1 - room :]}"
    return text(x, y, name, anchor="end", kind="name")


def svg(height: float, spoken: str, parts: Sequence[str]) -> str:
    """The whole drawing; `spoken` says to a screen reader what it shows."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(spoken)}">'
        f"<title>{escape(spoken)}</title>{''.join(parts)}</svg>"
    )


def series(index: int) -> str:
    """The classes of the line or part with this number: its colour and, where the colours have all
    been used, that it is drawn broken or faint."""
    return f"s{index % SERIES}" + (" again" if index >= SERIES else "")


def legend(names: Sequence[str]) -> str:
    """Which colour stands for which name, in order."""
    items = [
        f'<li><span class="key {series(index)}"></span>{escape(name)}</li>'
        for index, name in enumerate(names)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `rough`."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
