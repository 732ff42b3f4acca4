"""The plots of the page: time of a frame, its stages, drift by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeanim.benchmarks.results.result import Report, VariantResult
from edgeanim.report.sections import stage_names, stages_of
from edgeanim.report.svg import WIDTH, Axis, grid_x, grid_y, legend, name_before, series, svg, text
from edgeanim.report.words import milliseconds

_LEFT, _RIGHT, _TOP, _BOTTOM = 168, 64, 20, 40
_ROW = 30
_BAR = 12
_STAGES_BAR = 16
_FARTHEST = 2.0
_DRIFT_HEIGHT = 260
_DRIFT_LEFT = 56


def latency_plot(report: Report) -> str:
    """Bars of the median frame time with its interval, a tick for p90, a line for the budget."""
    shown = [v for v in report.variants if v.latency and v.latency.p50_ms is not None]
    if not shown:
        return ""
    height = _TOP + _ROW * len(shown) + _BOTTOM
    budget = report.board.latency_budget_ms
    largest = max(_reach(variant) for variant in shown)
    # A budget that lies far beyond is not drawn, and must not press the bars into a corner.
    far = budget > _FARTHEST * largest
    axis = Axis.over(largest if far else max(largest, budget), _LEFT, WIDTH - _RIGHT)
    base = height - _BOTTOM
    parts = [grid_x(axis, _TOP, base), text((_LEFT + WIDTH - _RIGHT) / 2, height - 4, "ms a frame")]
    parts += [
        _bar(variant, axis, _TOP + _ROW * row + _ROW / 2) for row, variant in enumerate(shown)
    ]
    if budget <= axis.ticks[-1]:
        x = axis.at(budget)
        parts.append(f'<line class="budget" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/>')
        parts.append(text(x, 12, f"budget {budget:g} ms"))
    spoken = "; ".join(f"{v.id} {milliseconds(_p50(v))} ms" for v in shown)
    return svg(height, f"Median time of a frame by variant: {spoken}.", parts)


def stage_plot(report: Report) -> str:
    """A bar per variant, made of its stages one after the other."""
    shown = [(v, stages_of(v)) for v in report.variants if v.stages]
    if not shown:
        return ""
    names = stage_names(report)
    height = _TOP + _ROW * len(shown) + _BOTTOM
    axis = Axis.over(max(sum(s.values()) for _, s in shown), _LEFT, WIDTH - _RIGHT)
    base = height - _BOTTOM
    parts = [grid_x(axis, _TOP, base), text((_LEFT + WIDTH - _RIGHT) / 2, height - 4, "ms a frame")]
    for row, (variant, stages) in enumerate(shown):
        parts.append(_stacked(variant.id, stages, names, axis, _TOP + _ROW * row + _ROW / 2))
    spoken = "; ".join(
        f"{v.id}: {', '.join(f'{n} {milliseconds(ms)} ms' for n, ms in s.items())}"
        for v, s in shown
    )
    return svg(height, f"Where the time of a frame goes. {spoken}.", parts)


def stage_legend(report: Report) -> str:
    """Which part of the stage plot is which stage."""
    return legend(stage_names(report))


def drift_plot(report: Report) -> str:
    """1 - SSIM of every frame, a line per variant."""
    shown = [v for v in report.variants if v.drift]
    if not shown:
        return ""
    base = _DRIFT_HEIGHT - _BOTTOM
    lines = [[max(0.0, 1 - s) for s in v.drift.ssim] for v in shown if v.drift]
    y = Axis.over(max(1e-3, *(max(values) for values in lines)), base, _TOP + 4, count=4)
    last = max(1, max(len(values) for values in lines) - 1)
    x = Axis.over(last, _DRIFT_LEFT, WIDTH - 8, count=8)
    x = Axis(tuple(t for t in x.ticks if t == int(t)), x.start, x.end) if last > 1 else x
    parts = [
        grid_y(y, _DRIFT_LEFT, WIDTH - 8),
        *(text(x.at(t), base + 16, f"{t:g}") for t in x.ticks if t == int(t)),
    ]
    parts.append(text((_DRIFT_LEFT + WIDTH) / 2, _DRIFT_HEIGHT - 4, "frame"))
    for index, values in enumerate(lines):
        parts.append(_line(series(index), values, x, y))
    spoken = "; ".join(f"{v.id} worst {1 - v.drift.ssim_worst:.4f}" for v in shown if v.drift)
    return svg(_DRIFT_HEIGHT, f"Drift, 1 minus SSIM, by frame: {spoken}.", parts)


def drift_legend(report: Report) -> str:
    """Which line of the drift plot is which variant."""
    return legend([variant.id for variant in report.variants if variant.drift])


def _stacked(
    name: str, stages: Mapping[str, float], order: Sequence[str], axis: Axis, middle: float
) -> str:
    top = middle - _STAGES_BAR / 2
    parts = [name_before(_LEFT - 10, middle + 4, name)]
    at = 0.0
    for index, stage in enumerate(order):
        ms = stages.get(stage, 0.0)
        x, end = axis.at(at), axis.at(at + ms)
        parts.append(
            f'<rect class="stage {series(index)}" x="{x:.1f}" y="{top:.1f}" '
            f'height="{_STAGES_BAR}" width="{end - x:.1f}"/>'
        )
        at += ms
    parts.append(text(axis.at(at) + 8, middle + 4, milliseconds(at), anchor="start", kind="value"))
    return "".join(parts)


def _bar(variant: VariantResult, axis: Axis, middle: float) -> str:
    assert variant.latency is not None
    p50, p90, interval = _p50(variant), variant.latency.p90_ms, variant.latency.p50_interval_ms
    top = middle - _BAR / 2
    parts = [
        name_before(_LEFT - 10, middle + 4, variant.id),
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
        low, high = axis.at(interval.low), axis.at(min(interval.high, _reach(variant)))
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}'
            f'M{low:.1f} {middle - 3:.1f}v6M{high:.1f} {middle - 3:.1f}v6"/>'
        )
    parts.append(
        text(
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
    figures = max(_p50(variant), variant.latency.p90_ms or 0.0)
    # A wide interval shall not press every bar into a corner: it is cut off.
    return min(max(figures, interval.high if interval else 0.0), _FARTHEST * figures)


def _line(kind: str, values: Sequence[float], x: Axis, y: Axis) -> str:
    if len(values) == 1:
        return f'<circle class="{kind}" cx="{x.at(0):.1f}" cy="{y.at(values[0]):.1f}" r="3"/>'
    points = " ".join(f"{x.at(i):.1f},{y.at(value):.1f}" for i, value in enumerate(values))
    return f'<polyline class="line {kind}" points="{points}"/>'
