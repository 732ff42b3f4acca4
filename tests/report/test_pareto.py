from __future__ import annotations

import re
from html import escape
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgeanim.report.pareto import Candidate, front, pareto_plot, pareto_table, write_pareto_page
from edgeanim.report.words import milliseconds
from tests.benchmarks.synthetic import build_report


def point(name: str, ms: float | None, drift: float | None, **more: object) -> Candidate:
    low, high = (None, None) if ms is None else (0.9 * ms, 1.1 * ms)
    precision = "int8" if "int8" in name else "float32"
    return Candidate(name, precision, drift, drift, ms, low, high, "float", **more)  # type: ignore[arg-type]


POINTS = (
    point("a-float32", 20.0, 0.0),
    point("a-int8", 8.0, 0.01, chosen=True),
    point("b-int8", 9.0, 0.012),
    point("b-float32", None, None, note="failed: <no runtime>"),
)


def test_the_last_bit_of_a_drift_puts_nothing_on_the_front() -> None:
    points = [point("a", 8.0, 2e-8), point("b", 9.0, 1e-9), point("c", 10.0, 0.0)]
    assert front(points) == ("a",)
    assert front([*points, point("d", 7.0, 1e-3)]) == ("d", "a")


@given(
    st.lists(
        st.tuples(st.floats(0.1, 1e3), st.integers(0, 9999).map(lambda n: n / 1e4)), max_size=20
    )
)
def test_the_front_is_what_no_other_beats(figures: list[tuple[float, float]]) -> None:
    points = [point(str(i), ms, drift) for i, (ms, drift) in enumerate(figures)]
    kept = set(front(points))
    for a in points:
        better = [
            b for b in points
            if b.latency_ms <= a.latency_ms and b.drift <= a.drift  # type: ignore[operator]
            and (b.latency_ms, b.drift) != (a.latency_ms, a.drift)
        ]  # fmt: skip
        if a.id in kept:
            assert not better
        else:
            twins = [p for p in points if (p.latency_ms, p.drift) == (a.latency_ms, a.drift)]
            assert better or any(p.id in kept for p in twins)


def test_the_front_leaves_out_what_was_not_timed() -> None:
    assert front(POINTS) == ("a-int8", "a-float32")


def test_the_table_marks_front_and_choice() -> None:
    lines = pareto_table(POINTS).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        [">", "a-int8"], ["b-int8", "9.00"], ["*", "a-float32"],
    ]  # fmt: skip
    assert "failed: <no runtime>" in lines[4]


def test_a_reason_that_names_a_strangers_node_does_not_steer_the_terminal() -> None:
    shown = pareto_table([point("a-int8", None, None, note="failed: no \x1b[2J")])
    assert "no \\x1b[2J" in shown
    assert "\x1b" not in shown


def test_the_plot_shows_limits_only_where_they_were_asked_for() -> None:
    plain = pareto_plot(POINTS, max_drift=0.012)
    assert "allowed drift 0.012" in plain
    assert "asked" not in plain
    assert "asked 50 ms" in pareto_plot(POINTS, max_drift=0.012, max_latency_ms=50)
    assert plain.count("<circle") == 4  # three candidates and the ring
    assert pareto_plot(POINTS[3:], max_drift=0.02) == ""


@given(
    st.lists(
        st.tuples(st.floats(0.1, 1e4), st.floats(0, 1), st.floats(0.1, 1), st.floats(1, 50)),
        min_size=1,
        max_size=12,
    ),
    st.floats(1e-4, 1),
    st.none() | st.floats(0.1, 1e5),
)
def test_every_candidate_lies_in_the_plot_and_those_to_choose_from_are_named(
    figures: list[tuple[float, float, float, float]], max_drift: float, asked: float | None
) -> None:
    points = [
        Candidate(
            f"candidate-{i}", "int8", drift, drift, ms, low * ms, high * ms, "", chosen=i == 0
        )
        for i, (ms, drift, low, high) in enumerate(figures)
    ]
    plot = pareto_plot(points, max_drift=max_drift, max_latency_ms=asked)
    circles = re.findall(r'<circle [^>]*cx="([^"]+)" cy="([^"]+)"', plot)
    assert len(circles) == len(points) + 1
    ends = re.findall(r'"whisker" d="M(\S+) (\S+)H(\S+)"', plot)
    assert len(ends) == len(points)
    xs = [float(x) for x, _ in circles] + [float(x) for low, _, high in ends for x in (low, high)]
    assert all(59.9 <= x <= 736.1 for x in xs)
    assert all(27.9 <= float(y) <= 332.1 for _, y in circles)
    assert all(float(low) <= float(x) + 0.11 and float(x) - 0.11 <= float(high)
               for (low, _, high), (x, _) in zip(ends, circles[1:], strict=True))  # fmt: skip
    named = re.findall(r'class="value" x="([^"]+)" y="([^"]+)"[^>]*>([^<]+)<', plot)
    assert {name for _, _, name in named} == {"candidate-0", *front(points)}
    places = [(float(x), float(y)) for x, y, _ in named]
    for i, (x, y) in enumerate(places):
        assert all(abs(y - b) > 12.8 or abs(x - a) > 60 for a, b in places[:i])


def test_what_drifts_too_far_is_hollow_and_a_name_that_was_moved_is_led_to() -> None:
    drifts = point("c-int8", 7.9, 0.0101, note="drifts: too far from the original in other light")
    apart, near = (
        pareto_plot(POINTS, max_drift=0.02),
        pareto_plot((*POINTS, drifts), max_drift=0.02),
    )
    assert " over" not in apart
    assert near.count('class="bar int8 over"') == 1
    assert "leader" not in apart
    assert near.count("leader") == 1


def test_the_page_says_what_the_finalists_were_measured_on_and_with_what_to_take_care(
    tmp_path: Path,
) -> None:
    """The board asked for may be another machine, and other times decide than the plot's."""
    report = build_report(reasons=("foreign load: other processes kept 1.00 cores busy",))
    write_pareto_page(
        tmp_path / "page.html", POINTS, title="net on a Pi", sentences=["Ship it."],
        max_drift=0.02, finals=report,
    )  # fmt: skip
    text = (tmp_path / "page.html").read_text()
    assert escape(report.environment.cpu_model or "") in text
    assert "foreign load" in text
    assert text.count('<th scope="row"') == len(POINTS) + len(report.variants)


def test_the_page_holds_no_script_and_escapes_what_it_shows(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_pareto_page(page, POINTS, title="<net>", sentences=["Ship <it>."], max_drift=0.02)
    text = page.read_text()
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert "&lt;net&gt;" in text
    assert "failed: &lt;no runtime&gt;" in text
    # As in the reports' tables: a screen reader tells whose figure it is.
    assert text.count('<th scope="row"') == len(POINTS)


def test_the_page_shows_the_run_that_decides(tmp_path: Path) -> None:
    """The verdict named a time that stood nowhere on the page."""
    page, report = tmp_path / "page.html", build_report()
    write_pareto_page(
        page, POINTS, title="net", sentences=["Ship it."], max_drift=0.02, finals=report
    )
    text = page.read_text()
    for variant in report.variants:
        assert variant.latency is not None
        assert f">{milliseconds(variant.latency.p50_ms)}<" in text
    assert text.index("The finalists") < text.index("Latency against drift")
