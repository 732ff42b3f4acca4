from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.results.compare import compare
from edgeanim.benchmarks.results.result import Failure, ModelRecord, Report, save_report
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.report.html import Animation, demo_page, render_page, write_page
from edgeanim.report.plots import latency_plot
from edgeanim.report.svg import Axis
from tests.benchmarks.synthetic import build_report

EVIL = "</title><script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
VOID = {"meta", "img", "br", "line", "rect", "path", "circle", "polyline", "link"}


class Page(HTMLParser):
    """Collects tags and attributes, and holds every tag to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _page(report: Report, **more: Animation) -> Page:
    return Page(render_page(compare([report]), **more))


def _evil_report() -> Report:
    report = build_report(failure=Failure("DeviceFailed", 5, EVIL), reasons=(EVIL,))
    first = replace(report.variants[0], id=EVIL, backend=EVIL, stages={})
    environment = replace(
        report.environment, cpu_model=EVIL, governor=EVIL, packages={EVIL: EVIL}, kernel=EVIL
    )
    return replace(
        report,
        model=ModelRecord(EVIL, "0" * 64, None),
        variants=(first, report.variants[1]),
        environment=environment,
        created=EVIL,
    )


def test_the_page_holds_no_control_characters() -> None:
    """HTML allows none, and whoever prints the page in a terminal is not steered by it."""
    report = build_report(failure=Failure("DeviceFailed", 5, "\x1b[2J"), reasons=("\x00",))
    named = replace(report, model=ModelRecord("\x9b2J\u202e", "0" * 64, None))
    page = render_page(compare([named]))
    assert page.replace("\n", "").isprintable()
    for shown in (r"\x1b[2J", r"\x00", r"<h1>\x9b2J\u202e</h1>"):
        assert shown in page


def test_the_page_has_its_table_and_plots() -> None:
    page = _page(build_report({"onnxruntime": (20, 8), "openvino": (60, 5)}))
    assert page.tags.count("svg") == 3
    assert page.tags.count("caption") == 4
    assert page.tags.count("polyline") == 4
    text = " ".join(page.text)
    for figure in ("onnxruntime-int8", "frames/s", "Ship openvino-int8", "budget 50 ms"):
        assert figure in text


def test_the_page_calls_a_scenario_what_bench_does() -> None:
    (said,) = [text for text in _page(build_report()).text if "Decoding and encoding" in text]
    assert "those of the batch scenario" in said


def test_what_rounds_to_nothing_has_no_sign() -> None:
    report = build_report()
    first = report.variants[0]
    assert first.drift is not None
    darker = replace(first.drift.brightness, mean=-0.001, worst=-0.002)
    named = replace(first, drift=replace(first.drift, brightness=darker))
    page = render_page(compare([replace(report, variants=(named, *report.variants[1:]))]))
    assert "-0.00" not in page


@pytest.mark.parametrize(
    ("cores", "told"), [((), "any core"), ((0, 2), "cores 0, 2, the processes")]
)
def test_the_page_says_where_it_was_timed(cores: tuple[int, ...], told: str) -> None:
    report = build_report()
    where = replace(report.settings, affinity=cores)
    assert told in " ".join(_page(replace(report, settings=where)).text)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = _page(build_report(), animation=Animation(GIF, "A still that moves"))
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags)
    assert "src" in {name for _, name, _ in page.attributes}
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert value.startswith("data:image/")
    text = render_page(compare([build_report()]))
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_strangers_strings_stay_text() -> None:
    page = _page(_evil_report(), animation=Animation(GIF, EVIL))
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert any(EVIL in text for text in page.text)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40))
def test_any_name_gives_a_well_formed_page(name: str) -> None:
    report = _REPORT
    page = _page(replace(report, model=ModelRecord(name, "0" * 64, None)))
    assert page.tags.count("h1") == 1


_REPORT = build_report()


def test_pictures_are_described_for_those_who_do_not_see_them() -> None:
    page = _page(build_report(), animation=Animation(GIF, "A still that moves"))
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == 3
    assert "onnxruntime-int8" in labels[0]
    assert ("img", "alt", "A still that moves") in page.attributes
    assert ("html", "lang", "en") in page.attributes


def test_the_animation_is_inside_the_page() -> None:
    page = _page(build_report(), animation=Animation(GIF, "x"))
    source = next(value for tag, name, value in page.attributes if (tag, name) == ("img", "src"))
    head, _, data = source.partition(",")
    assert head == "data:image/gif;base64"
    assert base64.b64decode(data) == GIF


def test_the_page_of_the_demo_shows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "animation.gif"
    file.write_bytes(GIF)
    assert Page(demo_page(build_report(), file)).tags.count("img") == 1
    with pytest.raises(BadInput):
        demo_page(build_report(), tmp_path / "nowhere.gif")


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"\x00\x00\x00 ftypmp42"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="GIF, PNG or JPEG"):
        _page(build_report(), animation=Animation(data, "x"))


@pytest.mark.parametrize("high", [1e3, 1e9, 1.7e308])
def test_a_wide_interval_does_not_press_the_bars_into_a_corner(high: float) -> None:
    report = build_report()
    latency = report.variants[0].latency
    assert latency is not None
    assert latency.p50_interval_ms is not None
    wide = replace(latency, p50_interval_ms=replace(latency.p50_interval_ms, high=high))
    first = replace(report.variants[0], latency=wide)
    page = _page(replace(report, variants=(first, report.variants[1])))
    bars = [float(v) for tag, name, v in page.attributes if (tag, name) == ("rect", "width")][:2]
    assert bars[0] > 100
    assert not [v for _, _, v in page.attributes if re.search(r"\b(nan|inf)\b", v)]


def test_several_reports_show_what_changed() -> None:
    pair = [build_report(), build_report({"onnxruntime": (20, 11)}, machine="m2", seed=3)]
    page = Page(render_page(compare(pair, allow={"machine"})))
    assert page.tags.count("svg") == 6
    text = " ".join(page.text)
    assert "slower" in text
    assert "The machine differs" in text


def test_a_change_leads_to_its_report() -> None:
    """Two hundred reports are a page of two hundred screens."""
    reports = [build_report(seed=seed) for seed in range(3)]
    page = Page(render_page(compare(reports)))
    led_to = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    places = [value for _, name, value in page.attributes if name == "id"]
    assert places == ["report-1", "report-2", "report-3"]
    assert led_to == ["#report-2", "#report-2", "#report-3", "#report-3"]


def test_on_paper_nothing_lies_beyond_the_edge() -> None:
    """There nobody can scroll: what is wide has to wrap."""
    text = render_page(compare([build_report()]))
    on_paper = text[text.index("@media print") : text.index("</style>")]
    rules = dict(re.findall(r"^  (\S.*?) \{ (.*?) \}$", on_paper, re.MULTILINE))
    assert "overflow: visible" in rules[".scroll, figure:has(svg)"]
    assert "white-space: normal" in rules["th, td"]
    assert "min-width: 0" in rules["svg"]


def test_a_page_of_several_reports_is_headed_by_all_of_them() -> None:
    """The first one's machine and time stood below a title for all, and its parts beside it."""
    pair = [build_report(), build_report({"onnxruntime": (20, 11)}, machine="m2", seed=3)]
    text = render_page(compare(pair, allow={"machine"}))
    assert "<h1>2 reports of tiny</h1>" in text
    assert text.count('<p class="sub">') == 2
    heads = re.findall(r"<(h[1-6])[ >]", text)
    one = ["h2", *["h3"] * 5]
    assert heads == ["h1", "h2", *one, *one]


def test_each_line_of_many_is_told_from_the_others() -> None:
    backends = ("onnxruntime", "openvino", "tflite", "torch")
    text = render_page(compare([build_report(dict.fromkeys(backends, (20.0, 8.0)))]))
    lines = re.findall(r'<polyline class="line ([^"]*)"', text)
    keys = re.findall(r'<span class="key ([^"]*)"', text)
    assert len(set(lines)) == len(lines) == 8
    assert keys[-8:] == lines
    css = text[: text.index("</style>")]
    assert all(f".{word}" in css for kind in lines for word in kind.split())


def test_names_of_files_too_long_for_the_plots_show_their_beginning_and_end() -> None:
    report = build_report()
    name = "tflite-float32:the_talking_head_of_the_project_v12_calibrated_int8"
    first, second = report.variants
    plot = latency_plot(replace(report, variants=(replace(first, id=name), second)))
    shown = re.findall(r'<text class="name"[^>]*>([^<]*)<', plot)
    assert shown == ["tflite-f…calibrated_int8", second.id]
    assert name in plot  # as it is read aloud


def test_a_budget_that_is_not_drawn_does_not_press_the_bars_into_a_corner() -> None:
    report = build_report()
    near, far = (replace(report.board, latency_budget_ms=ms) for ms in (30.0, 5000.0))
    assert "budget 30 ms" in latency_plot(replace(report, board=near))
    plot = latency_plot(replace(report, board=far))
    assert "budget" not in plot
    assert max(float(width) for width in re.findall(r'width="([\d.]+)" rx', plot)) > 400


def test_a_report_without_any_figures_is_still_a_page() -> None:
    report = _evil_report()
    failed = replace(report.variants[1], drift=None)
    page = _page(replace(report, variants=(failed,)))
    assert "svg" not in page.tags


def test_one_frame_is_drawn_as_a_point() -> None:
    report = build_report()
    drift = report.variants[0].drift
    assert drift is not None
    single = replace(report.variants[0], drift=replace(drift, ssim=(1.0,), frames=1))
    page = _page(replace(report, variants=(single,)))
    assert page.tags.count("circle") == 1


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(path, compare([build_report()]))
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@given(st.floats(1e-6, 1e6))
def test_an_axis_reaches_its_largest_value_with_round_ticks(largest: float) -> None:
    axis = Axis.over(largest, 100, 700)
    assert axis.ticks[0] == 0
    assert axis.ticks[-1] >= largest * (1 - 1e-6)
    assert 2 <= len(axis.ticks) <= 8
    assert 100 <= axis.at(largest) <= 701
    labels = [axis.label(tick) for tick in axis.ticks]
    assert len(set(labels)) == len(labels)
    assert json.loads(labels[-1]) == pytest.approx(axis.ticks[-1])


def test_the_worst_frame_is_shown_where_it_lies_beside_its_report(tmp_path: Path) -> None:
    report = build_report()
    first = replace(report.variants[0], worst_picture="report-frames/worst.png")
    report = replace(report, variants=(first, report.variants[1]))
    save_report(tmp_path / "report.json", report)
    comparison = compare([tmp_path / "report.json"])
    assert Page(render_page(comparison)).tags.count("img") == 0
    (tmp_path / "report-frames").mkdir()
    (tmp_path / "report-frames" / "worst.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page = Page(render_page(comparison))
    assert page.tags.count("img") == 1
    assert any("its worst frame" in text for text in page.text)
    (tmp_path / "report-frames" / "worst.png").write_text("no picture")
    with pytest.raises(BadInput, match=r"worst\.png: .*GIF, PNG or JPEG"):
        render_page(comparison)
    outside = replace(report, variants=(replace(first, worst_picture="../secret.png"),))
    save_report(tmp_path / "report.json", outside)
    with pytest.raises(BadInput, match=r"report\.json \[.*worst_picture\]: .*outside"):
        render_page(compare([tmp_path / "report.json"]))
