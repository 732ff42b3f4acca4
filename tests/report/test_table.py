from __future__ import annotations

from dataclasses import replace

import pytest

from edgeanim.benchmarks.results.compare import compare
from edgeanim.benchmarks.results.result import BoardRecord, ExecutedOp, Failure, Report
from edgeanim.benchmarks.timing.scenarios import BatchRun, summarize_batch, summarize_stream
from edgeanim.core.limit import DriftLimit
from edgeanim.report.sections import stages_of
from edgeanim.report.table import comparison_table, table
from edgeanim.report.verdict import choose, verdict
from edgeanim.report.words import (
    detectable_in_words,
    executed_in_short,
    executed_in_words,
    milliseconds,
    telling,
)
from tests.benchmarks.synthetic import build_report

FAILED = Failure("DeviceFailed", 5, "It was killed, most likely because the memory ran out.")

GOLDEN = """\
backend      asked    executed  p50 ms  p90 ms  frames/s   gain   drift   worst  peak MB
-----------  -------  --------  ------  ------  --------  -----  ------  ------  -------
onnxruntime  float32  float32     20.3    20.7      49.2      –  0.0000  0.0000       80
onnxruntime  int8     int8 90%    8.14    8.31     122.9  2.49x  0.0002  0.0002       80
openvino     float32  float32      122     124       8.2      –  0.0000  0.0000       80
openvino     int8     –              –       –         –      –       –       –        –
openvino-int8 failed. It was killed, most likely because the memory ran out.
Read with care: foreign load: other processes kept 0.30 cores busy.
"""


def _golden_report() -> Report:
    """Float32 noise is taken out, so that the figures do not depend on the numerics of drift."""
    report = build_report(
        {"onnxruntime": (20.0, 8.0), "openvino": (120.0, 40.0)},
        reasons=("foreign load: other processes kept 0.30 cores busy",),
    )
    broken = replace(
        report.variants[3],
        latency=None,
        throughput_fps=None,
        executed=None,
        drift=None,
        memory=None,
        speedup=None,
        failure=FAILED,
    )
    return replace(report, variants=(*report.variants[:3], broken))


def test_times_of_another_machine_than_the_board_are_said_to_be_that() -> None:
    report = build_report()
    assert "these are times" not in table(report) + verdict(report)
    board = BoardRecord("raspberry-pi-4", "Raspberry Pi 4", 100.0, "aarch64")
    report = replace(report, board=board)
    said = "these are times of a machine of x86_64, not of raspberry-pi-4, which is aarch64"
    assert f"Read with care: {said}." in table(report)
    assert f"But {said}: bench it there (`--on`) before you ship." in verdict(report)


def test_the_table_is_this_very_text() -> None:
    assert table(_golden_report()) == GOLDEN


def test_the_table_fits_a_terminal() -> None:
    report = build_report({"onnxruntime": (1234.5, 987.6)})
    assert max(map(len, table(report).splitlines())) <= 100


STREAM = """
Stream
variant           frames/s  p50 ms  p95 ms  p99 ms  worst ms        missed  freeze ms  jitter ms
----------------  --------  ------  ------  ------  --------  ------------  ---------  ---------
onnxruntime-int8      20.0    10.0       –       –      60.0  1 of 20 (5%)        100       2.63
"""


def test_a_scenario_has_a_table_below_the_first() -> None:
    report = build_report()
    streamed = replace(report.variants[1], stream=summarize_stream(20.0, [[10.0] * 19 + [60.0]]))
    text = table(replace(report, variants=(report.variants[0], streamed)))
    assert STREAM in text
    assert "Soak" not in text


def test_stages_of_an_offline_run_stand_around_those_of_a_frame() -> None:
    variant = build_report().variants[0]
    assert list(stages_of(variant)) == ["tiny", "other"]
    run = BatchRun(12, 1.0, dict.fromkeys(("encode", "tiny", "decode"), (2.0,) * 12))
    variant = replace(variant, batch=summarize_batch([run]))
    assert list(stages_of(variant)) == ["decode", "tiny", "other", "encode"]
    assert stages_of(variant)["decode"] == 2


def test_a_rendered_clip_has_a_table_under_the_name_of_its_scenario() -> None:
    """That of `batch` was headed Offline."""
    report = build_report()
    run = summarize_batch([BatchRun(12, 1.0, {})])
    rendered = replace(report.variants[0], batch=run)
    assert "\nBatch\n" in table(replace(report, variants=(rendered,)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.5, "0.50"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1234"),
    ],
)
def test_times_have_three_digits(value: float | None, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 0, "–"),
        (0.0, 0, "0"),
        (197.2, 0, "197"),
        (8.24, 0, "8.2"),
        (0.417, 0, "0.42"),
        (0.0417, 1, "0.042"),
        (122.9, 1, "122.9"),
    ],
)
def test_slow_rates_keep_two_digits(value: float | None, digits: int, text: str) -> None:
    assert telling(value, digits) == text


def test_a_board_that_takes_seconds_for_a_frame_does_not_make_none_a_second() -> None:
    report = build_report({"onnxruntime": (4000.0, 2400.0)})
    assert "0.41 frames/s" in verdict(report)
    assert " 0.41 " in table(report)


def test_another_float_type_than_asked_is_shown() -> None:
    report = build_report()
    first = report.variants[0]
    assert first.executed is not None
    graph = first.executed.graphs["tiny"]
    graph = replace(graph, ops=(ExecutedOp("Conv", "bf16", "compute", 1, 1.0),))
    executed = replace(first.executed, graphs={"tiny": graph})
    report = replace(report, variants=(replace(first, executed=executed), report.variants[1]))
    assert "bf16" in table(report)


def test_the_float_type_shown_is_the_one_that_most_of_the_time_went_to() -> None:
    """Not that of the largest single op: ten convolutions in bfloat16 outweigh one op that is not
    in it, and a graph that hardly takes time says nothing of the frame."""
    first = build_report().variants[0]
    assert first.executed is not None
    convs = tuple(ExecutedOp(f"Conv {n}", "bfloat16", "compute", 1, 0.08) for n in range(10))
    largest = ExecutedOp("Softmax", "float32", "compute", 1, 0.2)
    tiny = replace(first.executed.graphs["tiny"], ops=(*convs, largest))
    small = replace(tiny, ops=(ExecutedOp("Conv", "float32", "compute", 1, 1.0),))
    executed = replace(first.executed, graphs={"tiny": tiny, "small": small})
    stage = first.stages["tiny"]
    stages = {"tiny": replace(stage, share=0.7), "small": replace(stage, share=0.1)}
    shown = replace(first, executed=executed, stages=stages)
    assert executed_in_short(shown) == "bfloat16"
    assert executed_in_words(shown).startswith("bfloat16 ")


def test_a_variant_with_a_name_of_its_own_is_shown_by_it() -> None:
    report = build_report()
    named = replace(report.variants[1], id="onnxruntime-int8:mine")
    assert "onnxruntime-int8:mine  int8" in table(replace(report, variants=(named,)))


@pytest.mark.parametrize("order", [("onnxruntime", "openvino"), ("openvino", "onnxruntime")])
def test_the_fastest_within_the_drift_is_shipped(order: tuple[str, ...]) -> None:
    speeds: dict[str, tuple[float, float]] = {"onnxruntime": (20, 8), "openvino": (30, 5)}
    report = build_report(speeds)
    ordered = sorted(report.variants, key=lambda v: order.index(v.backend))
    sentence = verdict(replace(report, variants=tuple(ordered)))
    assert sentence.startswith("Ship openvino-int8 (5.07 ms a frame, 197 frames/s")
    assert "as fast as the fastest float, onnxruntime-float32" in sentence


def test_float_is_shipped_where_int8_drifts_too_far() -> None:
    sentence = verdict(build_report(noise=60), DriftLimit.of(0.01))
    assert sentence.startswith("Ship onnxruntime-float32")
    assert "every INT8 variant drifts by more than 0.01" in sentence


def test_float_is_shipped_where_int8_is_slower() -> None:
    sentence = verdict(build_report({"onnxruntime": (20, 25)}))
    assert sentence.startswith("Ship onnxruntime-float32")
    assert "the fastest INT8 variant, onnxruntime-int8, is slower" in sentence


def test_float_is_shipped_where_int8_is_not_reliably_faster() -> None:
    sentence = verdict(build_report({"onnxruntime": (20, 19.97)}))
    assert sentence.startswith("Ship onnxruntime-float32")
    assert "the fastest INT8 variant, onnxruntime-int8, is not reliably faster" in sentence


def test_nothing_is_shipped_where_nothing_is_good_enough() -> None:
    report = _golden_report()
    report = replace(report, variants=report.variants[3:])
    assert verdict(report).startswith("Ship nothing yet")
    assert choose(report) is None


def test_where_nothing_ran_it_is_not_the_drift_that_is_blamed() -> None:
    report = build_report(failure=Failure("MissingComponent", 4, "x"))
    assert verdict(replace(report, variants=report.variants[1:])).endswith(": no variant ran.")


def test_the_only_variant_is_shipped_without_a_claim() -> None:
    report = build_report()
    assert "no usable float variant beside it" in verdict(
        replace(report, variants=report.variants[1:])
    )
    assert "no INT8 variant was measured" in verdict(replace(report, variants=report.variants[:1]))


def test_reports_side_by_side_name_what_changed() -> None:
    slower = build_report({"onnxruntime": (20, 10)}, model="c", seed=4)
    text = comparison_table(compare([build_report(), slower], allow={"model"}))
    assert "onnxruntime-int8 in report 2: slower (1.2" in text
    assert "onnxruntime-float32 in report 2: no difference" in text
    assert "Note: The model differs" in text


def test_what_speaks_against_a_run_is_below_the_table() -> None:
    report = build_report()
    late = report.variants[0]
    assert late.latency is not None
    late = replace(late, latency=replace(late.latency, steady=False))
    remarked = replace(report.settings, remarks=("the governor stayed powersave",))
    text = table(replace(report, settings=remarked, variants=(late, report.variants[1])))
    assert "Read with care: the governor stayed powersave." in text
    assert "Read with care: onnxruntime-float32: still speeding up after the warm-up." in text


def test_the_coarsest_comparison_says_which_differences_a_run_shows() -> None:
    report = build_report({"onnxruntime": (20.0, 8.0), "openvino": (30.0, 9.0)})
    variants = list(report.variants)
    for number, seen in ((1, 0.02), (3, 0.07)):
        speedup = variants[number].speedup
        assert speedup is not None
        variants[number] = replace(variants[number], speedup=replace(speedup, detectable=seen))
    said = detectable_in_words(replace(report, variants=tuple(variants)))
    assert said is not None
    assert said.startswith("7.0% between a variant and its float32")
