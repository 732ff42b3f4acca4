from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeanim.benchmarks.drift.frames import Spread
from edgeanim.benchmarks.drift.regions import RegionDrift
from edgeanim.benchmarks.machine.circumstances import Validity
from edgeanim.benchmarks.results import compare as compare_module
from edgeanim.benchmarks.results.compare import FailedOn, check_gate, compare, ratio_within
from edgeanim.benchmarks.results.figures import figures
from edgeanim.benchmarks.results.gate import parse_gate
from edgeanim.benchmarks.results.result import Failure, save_report
from edgeanim.benchmarks.timing.stats import ResampledMedian, resampled_median
from edgeanim.core.errors import BadInput, GateFailed, UsageError
from edgeanim.pipeline.compare import compare as compare_files
from tests.benchmarks.synthetic import build_report

OTHERS = {
    "model": build_report(model="c"),
    "frames": build_report(frames="d"),
    "machine": build_report(machine="m2"),
}


@pytest.mark.parametrize("word", OTHERS)
def test_unlike_things_are_refused_by_name_and_allowed_by_name(word: str) -> None:
    pair = [build_report(), OTHERS[word]]
    with pytest.raises(UsageError, match=f"The {word} differ") as caught:
        compare(pair)
    assert f"--allow {word}" in str(caught.value)
    with pytest.raises(UsageError):
        compare(pair, allow={"model", "frames", "machine"} - {word})
    comparison = compare(pair, allow={word})
    assert len(comparison.differences) == 1


def test_an_unknown_word_to_allow_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="'frames'"):
        compare([build_report()], allow={"frame"})


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UsageError):
        compare([])


def test_reports_are_read_from_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    save_report(path, build_report())
    comparison = compare([path, build_report(seed=9)])
    assert comparison.names == (path.as_posix(), "report 2")
    (tmp_path / "two.json").write_text("{}")
    with pytest.raises(BadInput):
        compare([path, tmp_path / "two.json"])


def test_changes_are_called_by_their_interval() -> None:
    first = build_report({"onnxruntime": (20, 8)})
    second = build_report({"onnxruntime": (20, 10)}, seed=7)
    verdicts = {c.variant: c.verdict for c in compare([first, second]).changes}
    assert verdicts == {"onnxruntime-float32": "no difference", "onnxruntime-int8": "slower"}
    back = {c.variant: c.verdict for c in compare([second, first]).changes}
    assert back["onnxruntime-int8"] == "faster"


def test_the_first_reports_resamples_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def noted(processes: list[list[float]], *, stream: int) -> ResampledMedian:
        drawn.append(stream)
        return resampled_median(processes, stream=stream)

    monkeypatch.setattr(compare_module, "resampled_median", noted)
    changes = compare([build_report(seed=seed) for seed in range(6)]).changes
    assert len(changes) == 10
    assert sorted(drawn) == [0] * 10 + [1] * 2


def test_what_else_may_have_made_the_difference_is_told() -> None:
    first = build_report()
    newer = tuple(replace(v, backend_version="9.9") for v in first.variants)
    other = replace(
        first,
        edgeanim="0.2.0",
        settings=replace(first.settings, threads=2),
        board=replace(first.board, name="x86-vnni"),
        variants=newer,
    )
    assert compare([first, build_report(seed=9)]).differences == ()
    assert compare([first, other]).differences == (
        "The number of threads differs: report 1 has 1; report 2 has 2.",
        "The board differs: report 1 has local; report 2 has x86-vnni.",
        "The version of edgeanim differs: report 1 has 0.1.0; report 2 has 0.2.0.",
        "The version of onnxruntime differs: report 1 has "
        f"{first.variants[0].backend_version}; report 2 has 9.9.",
    )


def test_variants_of_one_name_that_are_of_unlike_forms_are_told_of() -> None:
    first = build_report()
    float32, int8 = first.variants
    other = replace(first, variants=(float32, replace(int8, schemes=("tensorrt-qdq", "float32"))))
    assert compare([first, other]).differences == (
        "The form of onnxruntime-int8 differs: report 1 has int8 as onnx-qdq; "
        "report 2 has int8 as float32 and tensorrt-qdq.",
    )


def test_variants_that_only_one_report_has_times_of_are_told_of() -> None:
    """What a candidate lost has no change: without a word it would pass for unchanged."""
    both = build_report({"onnxruntime": (20, 8), "tflite": (30, 9)})
    broken = build_report({"tflite": (30, 9)}, failure=Failure("DeviceFailed", 5, "x"), seed=3)
    lost = "onnxruntime-float32, onnxruntime-int8 and tflite-int8"
    told = f"report 1 has times of {lost}; report 2 has none."
    assert compare([both, broken]).differences == (told,)
    told = f"report 2 has times of {lost}; report 1 has none."
    assert compare([broken, both]).differences == (told,)


def test_a_run_that_is_compared_with_itself_is_told_of() -> None:
    """No difference between a run and a copy of it says nothing."""
    report, other = build_report(), build_report(seed=9)
    told = "report 3 is the same run as report 1."
    assert compare([report, other, build_report()]).differences == (told,)


def test_a_difference_that_many_reports_share_is_one_sentence() -> None:
    first = build_report()
    others = [build_report(machine=f"m{2 + i % 2}", seed=i + 1) for i in range(4)]
    both = replace(others[3], settings=replace(first.settings, threads=2))
    assert compare([first, *others[:3], both], allow={"machine"}).differences == (
        "The machine differs: report 1 has Some CPU (m1); report 2 and report 4 have Some CPU "
        "(m2); report 3 and report 5 have Some CPU (m3).",
        "The number of threads differs: report 1 has 1; report 5 has 2.",
    )


def test_of_many_reports_the_first_few_are_named() -> None:
    first = build_report()
    alike = replace(first, edgeanim="0.2.0", created="2025-06-02T10:00:00Z")
    named = ", ".join(f"report {i}" for i in range(2, 12))
    assert compare([first, *[alike] * 39]).differences == (
        f"The version of edgeanim differs: report 1 has 0.1.0; {named} and 29 more have 0.2.0.",
    )
    unlike = [replace(alike, edgeanim=f"0.2.{i}") for i in range(39)]
    (told,) = compare([first, *unlike]).differences
    assert told.endswith("; report 11 has 0.2.9; and 29 more have others.")


def test_a_gate_that_fails_many_reports_is_told_by_report() -> None:
    reports = [build_report(seed=seed) for seed in range(40)]
    with pytest.raises(FailedOn) as caught:
        check_gate(compare(reports), parse_gate("size_bytes > 1"))
    named = ", ".join(f"report {i}" for i in range(1, 11))
    assert caught.value.what == (
        f"The gate 'size_bytes > 1' failed in {named} and 30 more for onnxruntime-float32 and "
        "onnxruntime-int8 (size_bytes is 1000)."
    )
    with pytest.raises(FailedOn) as caught:
        check_gate(compare(reports), parse_gate("latency.p50_ms > 1"))
    told = caught.value.what
    assert told.count("; in report ") == 9
    assert "; in report 3 for onnxruntime-float32 (latency.p50_ms is 20" in told
    assert told.endswith("; and in 30 more.")


def test_the_size_of_unlike_frames_is_told() -> None:
    first = build_report()
    larger = replace(first, frames=replace(first.frames, digest="e" * 64, height=32, width=24))
    with pytest.raises(UsageError, match=r"6 frames of 16x16 .*; .* 6 frames of 24x32 "):
        compare([first, larger])


def test_a_variant_that_failed_has_no_change_and_no_ratio() -> None:
    broken = build_report(failure=Failure("DeviceFailed", 5, "x"))
    changes = compare([build_report(), broken]).changes
    assert [c.variant for c in changes] == ["onnxruntime-float32"]
    with pytest.raises(UsageError, match="not both measured"):
        ratio_within(broken, "onnxruntime-float32", "onnxruntime-int8")


def test_a_variant_without_a_latency_has_no_change_and_no_ratio() -> None:
    report = build_report()
    float32, int8 = report.variants
    unmeasured = replace(report, variants=(float32, replace(int8, latency=None, samples=())))
    for pair in ([report, unmeasured], [unmeasured, report]):
        assert [c.variant for c in compare(pair).changes] == ["onnxruntime-float32"]
    with pytest.raises(UsageError, match="not both measured"):
        ratio_within(unmeasured, "onnxruntime-float32", "onnxruntime-int8")


def test_every_published_figure_has_a_name() -> None:
    variant = build_report().variants[1]
    found = figures(variant)
    assert variant.latency is not None
    assert variant.drift is not None
    assert variant.speedup is not None
    assert found["latency.p90_ms"] == variant.latency.p90_ms
    assert found["latency.samples"] == 96.0
    assert found["drift.ssim_mean"] == variant.drift.ssim_mean
    assert found["speedup.interval.low"] == variant.speedup.interval.low
    assert found["latency.p99_ms"] is None
    assert found["precision"] == "int8"


def test_regions_of_like_names_have_figures_of_their_own() -> None:
    """No region may hide another from a gate, whatever their model calls them."""
    report = build_report()
    drift = report.variants[1].drift
    assert drift is not None
    names = ("Arm, left", "arm-left", "左腕", "***", "Schädel")
    spreads = [Spread(0.1 * i, 0.1 * i, 0.1 * i, 0) for i in range(len(names))]
    regions = {n: RegionDrift(0.1, s, None) for n, s in zip(names, spreads, strict=True)}
    variant = replace(report.variants[1], drift=replace(drift, regions=regions))
    found = figures(variant)
    words = ("arm_left", "arm_left_2", "左腕", "region", "schädel")
    for index, word in enumerate(words):
        name = f"drift.regions.{word}.ssim.mean"
        assert found[name] == 0.1 * index
        assert parse_gate(f"{name} < 0.25").failure(found) == (
            f"{name} is {0.1 * index:.4g}" if index < 3 else None
        )


GATES = [
    ("latency.p50_ms > 15", True),
    ("latency.p50_ms > 15 and precision == 'int8'", False),
    ("latency.p50_ms > 50 or drift.ssim_mean < 0.5", False),
    ("not latency.p50_ms < 50", False),
    ("precision == 'int8' and speedup.ratio < 3", True),
    ("stages.tiny.p50_ms > 10", True),
]


@pytest.mark.parametrize(("expression", "fails"), GATES)
def test_a_gate_looks_at_every_variant(expression: str, fails: bool) -> None:
    comparison = compare([build_report({"onnxruntime": (20, 8)})])
    if fails:
        with pytest.raises(GateFailed, match="onnxruntime"):
            check_gate(comparison, parse_gate(expression))
    else:
        check_gate(comparison, parse_gate(expression))


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("id == 'onnxruntime-in8' and latency.p50_ms > 1", "Did you mean 'onnxruntime-int8'?"),
        ("latency.p50_ms > 50 or 'fp32' == precision", "as its precision. Known: float32, int8."),
        ("not (backend == 'tflite' and size_bytes > 1)", "'tflite' as its backend. Known: onnx"),
    ],
)
def test_a_gate_on_what_no_variant_is_does_not_pass(gate: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_gate(compare([build_report()]), parse_gate(gate))
    assert str(caught.value).startswith(f"--fail-on {gate}: No variant has ")
    assert says in str(caught.value)


def test_a_gate_picks_among_the_variants_of_all_reports() -> None:
    first = build_report()
    other = build_report({"openvino": (20, 8)}, machine="m1")
    check_gate(compare([first, other]), parse_gate("backend == 'openvino' and size_bytes > 1e6"))
    check_gate(compare([first]), parse_gate("backend != 'tflite' and size_bytes > 1e6"))


def test_a_figure_that_was_not_measured_fails_the_gate_and_says_so() -> None:
    comparison = compare([build_report()])
    with pytest.raises(GateFailed, match=r"latency\.p99_ms was not measured"):
        check_gate(comparison, parse_gate("latency.p99_ms > 1000"))


def test_a_figure_that_another_variant_has_is_missing_and_not_unknown() -> None:
    report = build_report()
    first, second = report.variants
    report = replace(report, variants=(first, replace(second, stages={})))
    with pytest.raises(GateFailed, match=r"onnxruntime-int8 \(stages\.tiny\.p50_ms was not"):
        check_gate(compare([report]), parse_gate("stages.tiny.p50_ms > 1e9"))


def test_a_gate_can_ask_whether_the_run_was_valid() -> None:
    good = build_report()
    bad = replace(good, validity=Validity(False, ("throttled",), ("foreign load", "throttled")))
    check_gate(compare([good]), parse_gate("validity.valid == 0 or validity.discarded > 0"))
    for gate in ("validity.valid == 0", "validity.reasons >= 1", "validity.discarded == 2"):
        with pytest.raises(FailedOn, match=r"in report 1 for .*-int8 \(validity"):
            check_gate(compare([bad]), parse_gate(gate))


def test_a_failed_variant_fails_a_gate_on_its_figures() -> None:
    comparison = compare([build_report(failure=Failure("DeviceFailed", 5, "x"))])
    with pytest.raises(GateFailed, match="in report 1 for onnxruntime-int8"):
        check_gate(comparison, parse_gate("latency.p50_ms > 1000"))


SLOWER = "change.verdict == 'slower'"


@pytest.mark.parametrize(
    ("gate", "fails"),
    [
        (SLOWER, r"in report 2 for onnxruntime-int8 \(change.verdict is slower"),
        ("change.ratio > 1.1", r"in report 2 for onnxruntime-int8 \(change.ratio is 1.2"),
        ("change.interval.low > 1.1 and precision == 'int8'", "in report 2 for onnxruntime-int8"),
        ("change.verdict == 'faster'", ""),
        ("change.detectable > 0.5", ""),
        ("change.ratio > 1.1 and precision == 'float32'", ""),
    ],
)
def test_a_gate_can_ask_what_changed_against_the_first_report(gate: str, fails: str) -> None:
    first = build_report({"onnxruntime": (20, 8)})
    comparison = compare([first, build_report({"onnxruntime": (20, 10)}, seed=7)])
    if fails:
        with pytest.raises(FailedOn, match=fails) as caught:
            check_gate(comparison, parse_gate(gate))
        assert "report 1" not in caught.value.what
    else:
        check_gate(comparison, parse_gate(gate))


@pytest.mark.parametrize("before_has_it", [True, False])
def test_a_gate_on_a_change_fails_for_a_variant_that_one_report_lacks(before_has_it: bool) -> None:
    pair = [build_report({"onnxruntime": (20, 8), "tflite": (30, 9)}), build_report(seed=7)]
    comparison = compare(pair if before_has_it else pair[::-1])
    says = r"in report 2 for tflite-float32 and tflite-int8 \(change.verdict was not measured"
    with pytest.raises(FailedOn, match=says):
        check_gate(comparison, parse_gate(SLOWER))
    check_gate(comparison, parse_gate(f"backend == 'onnxruntime' and {SLOWER}"))


@pytest.mark.parametrize("which", [0, 1])
def test_a_change_is_as_reliable_as_both_runs(which: int) -> None:
    """A baseline that was throttled makes whatever follows seem faster."""
    pair = [build_report(), build_report(seed=7)]
    gate = parse_gate(f"validity.valid == 0 or {SLOWER}")
    check_gate(compare(pair), gate)
    pair[which] = build_report(seed=7 * which, reasons=("throttled",))
    with pytest.raises(FailedOn, match=r"validity\.valid is 0"):
        check_gate(compare(pair), gate)


def test_a_gate_on_a_change_needs_two_reports_and_a_verdict_that_there_is() -> None:
    with pytest.raises(UsageError, match="a second report"):
        check_gate(compare([build_report()]), parse_gate("change.ratio > 1.1"))
    pair = compare([build_report(), build_report(seed=7)])
    with pytest.raises(UsageError, match="Did you mean 'slower'"):
        check_gate(pair, parse_gate("change.verdict == 'slow'"))


def test_an_unknown_figure_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"latency\.p90_ms"):
        check_gate(compare([build_report()]), parse_gate("latency.p90 > 1"))


def test_a_gate_that_is_none_is_told_before_a_page_is_written(tmp_path: Path) -> None:
    save_report(tmp_path / "one.json", build_report())
    with pytest.raises(UsageError, match="At its end"):
        compare_files([tmp_path / "one.json"], html=tmp_path / "page.html", fail_on="size_bytes >")
    with pytest.raises(UsageError, match="At its end"):
        compare_files(tmp_path / "one.json", html=tmp_path / "page.html", fail_on=["id == 'x'", ""])
    assert not (tmp_path / "page.html").exists()
