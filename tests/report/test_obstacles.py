from __future__ import annotations

from dataclasses import replace

from edgeanim.benchmarks.results.result import (
    Executed,
    ExecutedOp,
    GraphProfile,
    Report,
    VariantResult,
)
from edgeanim.core.limit import DriftLimit
from edgeanim.report.obstacles import explain, obstacles
from edgeanim.report.verdict import choose, verdict
from tests.benchmarks.synthetic import build_report

CONV = ExecutedOp("Conv", "int8", "compute", 9, 0.5)
NORM = ExecutedOp("InstanceNormalization", "float32", "compute", 9, 0.1)
QUANTIZE = ExecutedOp("QuantizeLinear", "float32", "convert", 18, 0.3)
TRANSPOSE = ExecutedOp("Transpose", "int8", "layout", 2, 0.1)


def with_ops(variant: VariantResult, *ops: ExecutedOp) -> VariantResult:
    int8 = sum(op.share for op in ops if op.precision == "int8" and op.kind == "compute")
    profile = GraphProfile("time", int8, 1 - int8, 0.0, 0.0, "", ops)
    executed = Executed(int8, 1 - int8, 0.0, 0.0, {"tiny": profile})
    return replace(variant, executed=executed)


def slow_int8(*ops: ExecutedOp, features: tuple[str, ...] = ("avx2",)) -> Report:
    """INT8 that is slower than float32, with these ops."""
    report = build_report({"onnxruntime": (20.0, 24.0)})
    float32, int8 = report.variants
    environment = replace(report.environment, cpu_features=features)
    return replace(report, variants=(float32, with_ops(int8, *ops)), environment=environment)


def test_everything_that_is_not_int8_arithmetic_stands_in_the_way() -> None:
    report = slow_int8(CONV, NORM, QUANTIZE, TRANSPOSE)
    found = obstacles(report.variants[1])
    assert [(one.op, round(one.share, 3)) for one in found] == [
        ("QuantizeLinear", 0.3), ("InstanceNormalization", 0.1), ("Transpose", 0.1),
    ]  # fmt: skip
    assert obstacles(report.variants[0]) == ()


def test_graphs_that_took_no_time_stand_in_nobodys_way() -> None:
    int8 = slow_int8(CONV, NORM).variants[1]
    idle = {name: replace(stage, share=0.0) for name, stage in int8.stages.items()}
    assert obstacles(replace(int8, stages=idle)) == ()


def test_where_float_ships_the_verdict_names_the_ops_and_the_remedy() -> None:
    report = slow_int8(CONV, NORM, QUANTIZE, TRANSPOSE)
    choice = choose(report)
    assert choice is not None
    assert choice.variant.id == "onnxruntime-float32"
    said = verdict(report)
    assert "onnxruntime-int8, is slower" in said
    assert "50% of the work is not INT8: QuantizeLinear 30% (conversion)" in said
    assert "fewer borders between INT8 and float" in said


def test_each_kind_of_obstacle_has_its_own_remedy() -> None:
    def remedy(*ops: ExecutedOp, features: tuple[str, ...] = ("avx2",)) -> str:
        report = slow_int8(*ops, features=features)
        return explain(report, report.variants[1])[-1]

    assert "INT8 kernels for InstanceNormalization" in remedy(CONV, replace(NORM, share=0.5))
    assert "without Transpose" in remedy(CONV, replace(TRANSPOSE, share=0.5))
    mostly = replace(CONV, share=0.95), replace(NORM, share=0.05)
    assert "8-bit dot product" in remedy(*mostly)
    assert "dot product" not in remedy(*mostly, features=("avx512_vnni",))


def test_from_three_quarters_in_int8_on_it_is_not_the_rest_that_makes_it_slow() -> None:
    def said(share: float) -> tuple[str, ...]:
        report = slow_int8(replace(CONV, share=share), replace(NORM, share=1 - share))
        return explain(report, report.variants[1])

    assert "INT8 kernels for InstanceNormalization" in said(0.74)[-1]
    assert "8-bit dot product" in said(0.76)[-1]


def test_ops_are_named_that_take_a_fiftieth_or_more() -> None:
    ops = (replace(NORM, op="Seen", share=0.021), replace(NORM, op="Unseen", share=0.019))
    report = slow_int8(replace(CONV, share=0.96), *ops)
    assert [one.op for one in obstacles(report.variants[1])] == ["Seen"]


def test_what_cannot_be_named_gets_no_remedy() -> None:
    many = [replace(NORM, op=f"Custom{n}", share=0.01) for n in range(60)]
    report = slow_int8(replace(CONV, share=0.4), *many)
    said = explain(report, report.variants[1])
    assert said == ("In onnxruntime-int8 40% of the work runs in INT8.",)


def test_int8_must_beat_the_best_float_of_any_backend() -> None:
    report = build_report({"onnxruntime": (20.0, 15.0), "openvino": (10.0, 40.0)})
    choice = choose(report)
    assert choice is not None
    assert choice.variant.id == "openvino-float32"


def test_where_only_the_tail_drifts_too_far_the_tail_is_told() -> None:
    report = build_report({"onnxruntime": (20.0, 8.0)})
    drift = report.variants[1].drift
    assert drift is not None
    spoilt = replace(report.variants[1], drift=replace(drift, drift_mean=0.01, ssim_p5=0.9))
    said = verdict(replace(report, variants=(report.variants[0], spoilt)))
    assert "more than 0.02 (5th percentile 0.05), 0.0100 (5th percentile 0.1000) at the" in said


def test_int8_of_which_too_little_was_measured_is_not_said_to_drift() -> None:
    report = build_report({"onnxruntime": (20.0, 8.0)})
    quick = report.variants[1]
    assert quick.latency is not None
    quick = replace(quick, latency=replace(quick.latency, samples=5, p50_ms=None))
    said = verdict(replace(report, variants=(report.variants[0], quick)))
    assert "drifts" not in said
    assert "not enough was measured" in said


def test_a_half_float_counts_as_the_fastest_float() -> None:
    report = build_report({"onnxruntime": (20.0, 8.0), "openvino": (10.0, 40.0)})
    half = replace(report.variants[2], id="openvino-bfloat16", precision="bfloat16")
    blocks = report.variants[1].samples  # as fast as INT8
    half = replace(half, samples=blocks, latency=report.variants[1].latency)
    choice = choose(replace(report, variants=(*report.variants[:2], half)))
    assert choice is not None
    assert choice.variant.id == "openvino-bfloat16"


def test_what_drifts_too_far_does_not_ship_and_the_least_drift_is_told() -> None:
    report = build_report({"onnxruntime": (20.0, 8.0)})
    assert report.variants[1].drift is not None
    limit = report.variants[1].drift.drift_mean / 2
    tail = 1 - report.variants[1].drift.ssim_p5
    assert "Ship onnxruntime-int8" in verdict(report, DriftLimit(2 * limit, tail))
    assert "Ship onnxruntime-float32" in verdict(report, DriftLimit(2 * limit, tail / 2))
    said = verdict(report, DriftLimit.of(limit))
    assert said.startswith("Ship onnxruntime-float32")
    assert f"more than {DriftLimit.of(limit)}, {2 * limit:.4f} (5th percentile" in said
    assert "at the least" in said
    assert "mixed precision or distillation" in said
