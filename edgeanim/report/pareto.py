"""What a search found: the front of latency against drift, as a table, a plot and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import shorten

from edgeanim.benchmarks.results.result import Report
from edgeanim.core.artifact import Precision
from edgeanim.core.files import write_text
from edgeanim.report.columns import aligned
from edgeanim.report.html import figures, subtitle, validity
from edgeanim.report.page import TEXT, html_table, page
from edgeanim.report.svg import CHARACTER, WIDTH, Axis, grid_x, grid_y, svg, text
from edgeanim.report.words import ABSENT, milliseconds, number

_HEIGHT = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 24, 28, 48
_NOT_ASKED = 1e-9
_NOTE = ' style="white-space: normal"'
_MAX_NOTE = 72
# Of a drift.
_DIGITS = 4
_TITLES = ("candidate", "ms a frame", "interval", "executed", "drift", "p5", "")
_LAST = len(_TITLES) - 1
# The columns that hold no figures.
_WORDS = (0, 3, _LAST)


@dataclass(frozen=True)
class Candidate:
    """What a search tried. `drift_p5` is 1 - the 5th percentile of the frames' SSIM. `latency_ms`
    has an interval and is `None` where it was not timed; `note` says why, or why it is not to be
    shipped. `chosen` is the one to ship."""

    id: str
    precision: Precision
    drift: float | None
    drift_p5: float | None
    latency_ms: float | None
    low_ms: float | None
    high_ms: float | None
    executed: str
    note: str = ""
    chosen: bool = False


def front(points: Sequence[Candidate]) -> tuple[str, ...]:
    """The ids of the points that no other beats in both latency and drift as shown, fastest first:
    float32 on one runtime is no better than on another for the last bit of its numbers."""
    timed = [p for p in points if p.latency_ms is not None and p.drift is not None]
    kept: list[str] = []
    least = float("inf")
    for point in sorted(timed, key=lambda p: (p.latency_ms, p.drift)):
        assert point.drift is not None
        if (shown := round(point.drift, _DIGITS)) < least:
            kept.append(point.id)
            least = shown
    return tuple(kept)


def pareto_table(points: Sequence[Candidate]) -> str:
    """All candidates, timed ones first and by time; `*` marks the front, `>` the choice."""
    on_front = front(points)
    rows: list[tuple[str, ...]] = [("", *_TITLES)]
    for point in _sorted(points):
        mark = ">" if point.chosen else "*" if point.id in on_front else ""
        note = shorten(point.note, _MAX_NOTE, placeholder=" …")
        rows.append((mark, point.id, *_figures(point), note))
    return "\n".join(aligned(rows, (0, 1, 4, 7)))


def pareto_plot(
    points: Sequence[Candidate], *, max_drift: float, max_latency_ms: float | None = None
) -> str:
    """Latency across, drift upwards, the front as a staircase, the limits as dashed lines."""
    timed = [p for p in points if p.latency_ms is not None and p.drift is not None]
    if not timed:
        return ""
    known = {p.id: p for p in timed}
    base, right = _HEIGHT - _BOTTOM, WIDTH - _RIGHT
    on_front = front(points)
    # A wide interval shall not press everything else into a corner: it ends at the edge.
    farthest = min(max(_high(p) for p in timed), 1.3 * max(_ms(p) for p in timed))
    x = Axis.over(max(farthest, max_latency_ms or 0), _LEFT, WIDTH - _RIGHT, count=8)
    top = max(max(_drift(p) for p in timed), 1.15 * min(max_drift, 0.5), _NOT_ASKED)
    y = Axis.over(top, base, _TOP, count=5)
    parts = [
        grid_x(x, _TOP, base),
        grid_y(y, _LEFT, right),
        text((_LEFT + right) / 2, _HEIGHT - 8, "ms a frame"),
        text(_LEFT, _TOP - 12, "drift (1 − SSIM)", anchor="start"),
    ]
    if max_drift <= y.ticks[-1]:
        at = y.at(max_drift)
        parts.append(
            f'<line class="budget" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(text(right, at - 6, f"allowed drift {max_drift:g}", anchor="end"))
    if max_latency_ms is not None:
        at = x.at(max_latency_ms)
        parts.append(f'<line class="budget" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{base}"/>')
        parts.append(text(at, _TOP - 12, f"asked {max_latency_ms:g} ms"))
    parts.append(_staircase([known[name] for name in on_front], x, y))
    parts += _labels([p for p in timed if p.id in on_front or p.chosen], x, y)
    parts += [_mark(point, x, y) for point in timed]
    spoken = "; ".join(
        f"{p.id} {milliseconds(p.latency_ms)} ms, drift {number(p.drift, _DIGITS)}" for p in timed
    )
    return svg(_HEIGHT, spoken, parts)


def write_pareto_page(
    path: Path,
    points: Sequence[Candidate],
    *,
    title: str,
    sentences: Sequence[str],
    max_drift: float,
    max_latency_ms: float | None = None,
    finals: Report | None = None,
) -> None:
    """A self-contained page: the verdict, the `finals` that it rests on, the plot and the table of
    all candidates. No script, nothing fetched."""
    plot = pareto_plot(points, max_drift=max_drift, max_latency_ms=max_latency_ms)
    verdict, *further = sentences or ("",)
    body = (
        f"<h1>{escape(title)}</h1>",
        "" if finals is None else f'<p class="sub">{escape(subtitle(finals))}</p>',
        f'<p class="verdict">{escape(verdict)}</p>',
        "".join(f"<p>{escape(sentence)}</p>" for sentence in further),
        "" if finals is None else _finals(finals),
        f"<h2>Latency against drift</h2>\n<figure>{plot}<figcaption>Every candidate that was "
        "timed, on its own beside the original, with the 95 % interval of its time; INT8 in green. "
        "What drifts too far is hollow: in the mean, at the 5th percentile or in other light. The "
        "line is the front: no candidate lies left of it and below. The ring marks what to "
        "ship.</figcaption></figure>",
        "<h2>Candidates</h2>",
        html_table(_TITLES, map(_row, _sorted(points)), words=_WORDS),
    )
    write_text(path, page(title, body))


def _finals(report: Report) -> str:
    title = "<h2>The finalists, timed anew beside each other, which decides</h2>"
    return f"{validity(report)}\n{title}\n{figures(report)}"


def _row(point: Candidate) -> str:
    name = f"{point.id}{' (ship)' if point.chosen else ''}"
    cells = "".join(
        f"<td{TEXT if i in _WORDS else ''}{_NOTE if i == _LAST else ''}>{escape(cell)}</td>"
        for i, cell in enumerate((*_figures(point), point.note), start=1)
    )
    return f'<tr class="{point.precision}"><th scope="row"{TEXT}>{escape(name)}</th>{cells}</tr>'


def _figures(point: Candidate) -> tuple[str, ...]:
    """The cells between a candidate's name and its note."""
    low, high = milliseconds(point.low_ms), milliseconds(point.high_ms)
    return (
        milliseconds(point.latency_ms),
        ABSENT if point.latency_ms is None else f"{low} to {high}",
        point.executed,
        number(point.drift, _DIGITS),
        number(point.drift_p5, _DIGITS),
    )


def _sorted(points: Sequence[Candidate]) -> list[Candidate]:
    return sorted(points, key=lambda p: (p.latency_ms is None, p.latency_ms or 0.0, p.id))


def _staircase(steps: Sequence[Candidate], x: Axis, y: Axis) -> str:
    path = ""
    for point in steps:
        px, py = x.at(_ms(point)), y.at(_drift(point))
        path += f"H{px:.1f}V{py:.1f}" if path else f"M{px:.1f} {py:.1f}"
    return f'<path class="line s1" d="{path}"/>' if len(steps) > 1 else ""


def _mark(point: Candidate, x: Axis, y: Axis) -> str:
    px, py = x.at(_ms(point)), y.at(_drift(point))
    low, high = x.at(point.low_ms or _ms(point)), x.at(min(_high(point), x.ticks[-1]))
    kind = f"bar {point.precision}{' over' if point.note else ''}"
    parts = [
        f'<path class="whisker" d="M{low:.1f} {py:.1f}H{high:.1f}"/>',
        f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="5"/>',
    ]
    if point.chosen:
        parts.append(f'<circle class="whisker" cx="{px:.1f}" cy="{py:.1f}" r="9"/>')
    return "".join(parts)


def _labels(points: Sequence[Candidate], x: Axis, y: Axis) -> list[str]:
    """The names of the points, moved up until none lies on another; one that was is led to."""
    placed: list[tuple[float, float, float]] = []
    parts = []
    for point in sorted(points, key=lambda p: -_ms(p)):
        width = CHARACTER * len(point.id)
        px, py = x.at(_ms(point)), y.at(_drift(point))
        right = px + 12 + width < WIDTH
        start = px + 12 if right else px - 12 - width
        height = py - 9
        while any(abs(height - h) < 13 and start < e and s < start + width for h, s, e in placed):
            height -= 13
        placed.append((height, start, start + width))
        if height < py - 9:
            side = start - 3 if right else start + width + 3
            parts.append(
                f'<path class="leader" d="M{px:.1f} {py:.1f}L{side:.1f} {height - 4:.1f}"/>'
            )
        parts.append(text(start, height, point.id, anchor="start", kind="value"))
    return parts


def _ms(point: Candidate) -> float:
    assert point.latency_ms is not None
    return point.latency_ms


def _high(point: Candidate) -> float:
    return point.high_ms or _ms(point)


def _drift(point: Candidate) -> float:
    assert point.drift is not None
    return max(0.0, point.drift)
