"""What a search found: the front of latency against drift, as a table, a plot and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from textwrap import shorten

from edgeanim.core.artifact import Precision
from edgeanim.core.errors import printable
from edgeanim.core.files import write_text
from edgeanim.report.columns import aligned
from edgeanim.report.svg import WIDTH, Axis
from edgeanim.report.words import ABSENT, milliseconds, number

_HEIGHT = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 24, 28, 48
_NOT_ASKED = 1e-9
_NOTE = ' style="white-space: normal"'
_MAX_NOTE = 72


@dataclass(frozen=True)
class Point:
    """One candidate. `drift_p5` is 1 - the 5th percentile of the frames' SSIM. `latency_ms` has an
    interval and is `None` where it was not timed; `note` says why. `chosen` is the one to ship."""

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


def front(points: Sequence[Point]) -> tuple[str, ...]:
    """The ids of the points that no other beats in both latency and drift, fastest first."""
    timed = [p for p in points if p.latency_ms is not None and p.drift is not None]
    kept: list[str] = []
    least = float("inf")
    for point in sorted(timed, key=lambda p: (p.latency_ms, p.drift)):
        assert point.drift is not None
        if point.drift < least:
            kept.append(point.id)
            least = point.drift
    return tuple(kept)


def pareto_table(points: Sequence[Point]) -> str:
    """All candidates, timed ones first and by time; `*` marks the front, `>` the choice."""
    titles = ("", "candidate", "ms a frame", "interval", "executed", "drift", "p5", "")
    on_front = front(points)
    rows = [titles]
    for point in _sorted(points):
        mark = ">" if point.chosen else "*" if point.id in on_front else ""
        interval = (
            f"{milliseconds(point.low_ms)} to {milliseconds(point.high_ms)}"
            if point.latency_ms is not None
            else ABSENT
        )
        rows.append(
            (
                mark,
                point.id,
                milliseconds(point.latency_ms),
                interval,
                point.executed,
                number(point.drift, 4),
                number(point.drift_p5, 4),
                shorten(point.note, _MAX_NOTE, placeholder=" …"),
            )
        )
    return printable("\n".join(aligned(rows, (0, 1, 4, 7))))


def pareto_plot(
    points: Sequence[Point], *, max_drift: float, max_latency_ms: float | None = None
) -> str:
    """Latency across, drift upwards, the front as a staircase, the limits as dashed lines."""
    timed = [p for p in points if p.latency_ms is not None and p.drift is not None]
    if not timed:
        return ""
    base = _HEIGHT - _BOTTOM
    # A wide interval shall not press everything else into a corner: it ends at the edge.
    farthest = min(max(_high(p) for p in timed), 1.3 * max(_ms(p) for p in timed))
    x = Axis.over(max(farthest, max_latency_ms or 0), _LEFT, WIDTH - _RIGHT, count=8)
    top = max(max(_drift(p) for p in timed), 1.15 * min(max_drift, 0.5), _NOT_ASKED)
    y = Axis.over(top, base, _TOP, count=5)
    parts = [
        *(_vertical(x.at(t), "grid") + _text(x.at(t), base + 16, x.label(t)) for t in x.ticks),
        *(
            _horizontal(y.at(t), "grid") + _text(_LEFT - 8, y.at(t) + 4, y.label(t), "end")
            for t in y.ticks
        ),
        _text((_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT - 8, "ms a frame"),
        _text(_LEFT, _TOP - 12, "drift (1 − SSIM)", "start"),
    ]
    if max_drift <= y.ticks[-1]:
        parts.append(_horizontal(y.at(max_drift), "budget"))
        limit = f"allowed drift {max_drift:g}"
        parts.append(_text(WIDTH - _RIGHT, y.at(max_drift) - 6, limit, "end"))
    if max_latency_ms is not None:
        parts.append(_vertical(x.at(max_latency_ms), "budget"))
        asked = f"asked {max_latency_ms:g} ms"
        parts.append(_text(x.at(max_latency_ms), _TOP - 12, asked))
    parts.append(_staircase(points, x, y))
    parts += [_mark(point, x, y) for point in timed]
    parts += _labels([p for p in timed if p.id in front(points) or p.chosen], x, y)
    spoken = "; ".join(
        f"{p.id} {milliseconds(p.latency_ms)} ms, drift {number(p.drift, 4)}" for p in timed
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {_HEIGHT}" role="img" aria-label="{escape(spoken)}">'
        f"<title>{escape(spoken)}</title>{''.join(parts)}</svg>"
    )


def write_pareto_page(
    path: Path,
    points: Sequence[Point],
    *,
    title: str,
    sentences: Sequence[str],
    max_drift: float,
    max_latency_ms: float | None = None,
) -> None:
    """A self-contained page: the verdict, the plot, the table. No script, nothing fetched."""
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    plot = pareto_plot(points, max_drift=max_drift, max_latency_ms=max_latency_ms)
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences[1:])
    verdict = escape(sentences[0]) if sentences else ""
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · edgeanim</title>\n<style>\n{css}</style>\n</head>\n"
        f'<body>\n<main>\n<h1>{escape(title)}</h1>\n<p class="verdict">{verdict}</p>\n{said}\n'
        f"<h2>Latency against drift</h2>\n<figure>{plot}<figcaption>Every candidate that was "
        "timed, with the 95 % interval of its time; INT8 in green. The line is the front: no "
        "candidate lies left of it and below. The ring marks what to ship.</figcaption></figure>\n"
        f"<h2>Candidates</h2>\n{_html_table(points)}\n</main>\n</body>\n</html>\n",
    )


def _html_table(points: Sequence[Point]) -> str:
    heads = ("candidate", "ms a frame", "interval", "executed", "drift", "p5", "")
    text = {0, 3, 6}
    head = "".join(
        f'<th scope="col"{_class(i in text)}>{escape(title)}</th>' for i, title in enumerate(heads)
    )
    body = []
    for point in _sorted(points):
        timed = point.latency_ms is not None
        cells = (
            f"{point.id}{' (ship)' if point.chosen else ''}",
            milliseconds(point.latency_ms),
            f"{milliseconds(point.low_ms)} to {milliseconds(point.high_ms)}" if timed else ABSENT,
            point.executed,
            number(point.drift, 4),
            number(point.drift_p5, 4),
            point.note,
        )
        row = "".join(
            f"<td{_class(i in text)}{_NOTE if i == 6 else ''}>{escape(c)}</td>"
            for i, c in enumerate(cells)
        )
        body.append(f'<tr class="{point.precision}">{row}</tr>')
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(body)}\n</tbody></table></div>"
    )


def _class(text: bool) -> str:
    return ' class="text"' if text else ""


def _sorted(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda p: (p.latency_ms is None, p.latency_ms or 0.0, p.id))


def _staircase(points: Sequence[Point], x: Axis, y: Axis) -> str:
    known = {p.id: p for p in points}
    steps = [known[name] for name in front(points)]
    path = ""
    for point in steps:
        px, py = x.at(_ms(point)), y.at(_drift(point))
        path += f"H{px:.1f}V{py:.1f}" if path else f"M{px:.1f} {py:.1f}"
    return f'<path class="line s1" d="{path}"/>' if len(steps) > 1 else ""


def _mark(point: Point, x: Axis, y: Axis) -> str:
    px, py = x.at(_ms(point)), y.at(_drift(point))
    low, high = x.at(point.low_ms or _ms(point)), x.at(min(_high(point), x.ticks[-1]))
    parts = [
        f'<path class="whisker" d="M{low:.1f} {py:.1f}H{high:.1f}"/>',
        f'<circle class="bar {point.precision}" cx="{px:.1f}" cy="{py:.1f}" r="5"/>',
    ]
    if point.chosen:
        parts.append(f'<circle class="whisker" cx="{px:.1f}" cy="{py:.1f}" r="9"/>')
    return "".join(parts)


def _labels(points: Sequence[Point], x: Axis, y: Axis) -> list[str]:
    """The names of the points, moved up until none lies on another."""
    placed: list[tuple[float, float, float]] = []
    parts = []
    for point in sorted(points, key=lambda p: -_ms(p)):
        width = 6.4 * len(point.id)
        right = x.at(_ms(point)) + 12 + width < WIDTH
        start = x.at(_ms(point)) + 12 if right else x.at(_ms(point)) - 12 - width
        height = y.at(_drift(point)) - 9
        while any(abs(height - h) < 13 and start < e and s < start + width for h, s, e in placed):
            height -= 13
        placed.append((height, start, start + width))
        parts.append(_text(start, height, point.id, "start", "value"))
    return parts


def _ms(point: Point) -> float:
    assert point.latency_ms is not None
    return point.latency_ms


def _high(point: Point) -> float:
    return point.high_ms or _ms(point)


def _drift(point: Point) -> float:
    assert point.drift is not None
    return max(0.0, point.drift)


def _vertical(x: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'


def _horizontal(y: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
