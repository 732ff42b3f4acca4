"""The two plots of the page as inline SVG: no script, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edgeanim.benchmarks.result import Report, VariantResult
from edgeanim.report.words import milliseconds

WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 168, 64, 20, 40
_ROW = 30
_BAR = 12
_DRIFT_HEIGHT = 260
_DRIFT_LEFT = 56
# As many line colours as the style sheet has.
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


def latency_plot(report: Report) -> str:
    """Bars of the median frame time with its interval, a tick for p90, a line for the budget."""
    shown = [v for v in report.variants if v.latency and v.latency.p50_ms is not None]
    if not shown:
        return ""
    height = _TOP + _ROW * len(shown) + _BOTTOM
    budget = report.board.latency_budget_ms
    largest = max(_reach(variant) for variant in shown)
    axis = Axis.over(max(largest, min(budget, 2 * largest)), _LEFT, WIDTH - _RIGHT)
    base = height - _BOTTOM
    parts = [_grid_x(axis, base), _text((_LEFT + WIDTH - _RIGHT) / 2, height - 4, "ms a frame")]
    parts += [
        _bar(variant, axis, _TOP + _ROW * row + _ROW / 2) for row, variant in enumerate(shown)
    ]
    if budget <= axis.ticks[-1]:
        x = axis.at(budget)
        parts.append(f'<line class="budget" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/>')
        parts.append(_text(x, 12, f"budget {budget:g} ms"))
    spoken = "; ".join(f"{v.id} {milliseconds(_p50(v))} ms" for v in shown)
    return _svg(height, f"Median time of a frame by variant: {spoken}.", parts)


def drift_plot(report: Report) -> str:
    """1 - SSIM of every frame, a line per variant."""
    shown = [v for v in report.variants if v.drift]
    if not shown:
        return ""
    base = _DRIFT_HEIGHT - _BOTTOM
    series = [[max(0.0, 1 - s) for s in v.drift.ssim] for v in shown if v.drift]
    y = Axis.over(max(1e-3, *(max(values) for values in series)), base, _TOP + 4, count=4)
    last = max(1, max(len(values) for values in series) - 1)
    x = Axis.over(last, _DRIFT_LEFT, WIDTH - 8, count=8)
    x = Axis(tuple(t for t in x.ticks if t == int(t)), x.start, x.end) if last > 1 else x
    parts = [_grid_y(y), *(_text(x.at(t), base + 16, f"{t:g}") for t in x.ticks if t == int(t))]
    parts.append(_text((_DRIFT_LEFT + WIDTH) / 2, _DRIFT_HEIGHT - 4, "frame"))
    for index, values in enumerate(series):
        parts.append(_line(index % SERIES, values, x, y))
    spoken = "; ".join(f"{v.id} worst {1 - v.drift.ssim_worst:.4f}" for v in shown if v.drift)
    return _svg(_DRIFT_HEIGHT, f"Drift, 1 minus SSIM, by frame: {spoken}.", parts)


def drift_legend(report: Report) -> str:
    """Which line of the drift plot is which variant."""
    items = [
        f'<li><span class="key s{index % SERIES}"></span>{escape(variant.id)}</li>'
        for index, variant in enumerate(v for v in report.variants if v.drift)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def _bar(variant: VariantResult, axis: Axis, middle: float) -> str:
    assert variant.latency is not None
    p50, p90, interval = _p50(variant), variant.latency.p90_ms, variant.latency.p50_interval_ms
    top = middle - _BAR / 2
    parts = [
        _text(_LEFT - 10, middle + 4, variant.id, anchor="end", kind="name"),
        f'<rect class="bar {variant.precision}" x="{_LEFT}" y="{top:.1f}" height="{_BAR}" '
        f'width="{axis.at(p50) - _LEFT:.1f}" rx="2"/>',
    ]
    if p90 is not None:
        x = axis.at(p90)
        parts.append(
            f'<line class="p90" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3:.1f}" '
            f'y2="{top + _BAR + 3:.1f}"/>'
        )
    if interval is not None:
        low, high = axis.at(interval.low), axis.at(min(interval.high, axis.ticks[-1]))
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}'
            f'M{low:.1f} {middle - 3:.1f}v6M{high:.1f} {middle - 3:.1f}v6"/>'
        )
    parts.append(
        _text(
            axis.at(_reach(variant)) + 8,
            middle + 4,
            milliseconds(p50),
            anchor="start",
            kind="value",
        )
    )
    return "".join(parts)


def _p50(variant: VariantResult) -> float:
    assert variant.latency is not None
    assert variant.latency.p50_ms is not None
    return variant.latency.p50_ms


def _reach(variant: VariantResult) -> float:
    """The largest figure drawn in a variant's row."""
    assert variant.latency is not None
    interval = variant.latency.p50_interval_ms
    return max(_p50(variant), variant.latency.p90_ms or 0.0, interval.high if interval else 0.0)


def _line(index: int, values: Sequence[float], x: Axis, y: Axis) -> str:
    if len(values) == 1:
        return f'<circle class="s{index}" cx="{x.at(0):.1f}" cy="{y.at(values[0]):.1f}" r="3"/>'
    points = " ".join(f"{x.at(i):.1f},{y.at(value):.1f}" for i, value in enumerate(values))
    return f'<polyline class="line s{index}" points="{points}"/>'


def _grid_x(axis: Axis, base: float) -> str:
    return "".join(
        f'<line class="grid" x1="{axis.at(t):.1f}" x2="{axis.at(t):.1f}" y1="{_TOP}" y2="{base}"/>'
        + _text(axis.at(t), base + 16, axis.label(t))
        for t in axis.ticks
    )


def _grid_y(axis: Axis) -> str:
    return "".join(
        f'<line class="grid" x1="{_DRIFT_LEFT}" x2="{WIDTH - 8}" y1="{axis.at(t):.1f}" '
        f'y2="{axis.at(t):.1f}"/>'
        + _text(_DRIFT_LEFT - 8, axis.at(t) + 4, axis.label(t), anchor="end")
        for t in axis.ticks
    )


def _text(x: float, y: float, text: str, *, anchor: str = "middle", kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _svg(height: float, spoken: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(spoken)}">'
        f"<title>{escape(spoken)}</title>{''.join(parts)}</svg>"
    )


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `rough`."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
