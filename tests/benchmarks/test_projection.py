"""Projection: exact where it must be, wide where it may be, and never taken for a measurement."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks import roofline
from edgeanim.benchmarks.figures import projection_check
from edgeanim.benchmarks.figures.projection_check import mobilenet
from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.projection import (
    SPREAD,
    Part,
    has_roofs,
    in_int8,
    is_arithmetic,
    parts_of,
    project,
    scaled_ms,
)
from edgeanim.benchmarks.results.result import Executed, Failure, save_report
from edgeanim.benchmarks.roofline import Roof, measure_roof, roof_of
from edgeanim.cli.progress import TerminalProgress
from edgeanim.core.errors import (
    BadInput,
    DeviceFailed,
    EdgeanimError,
    MissingComponent,
    UsageError,
)
from edgeanim.pipeline import project as pipeline
from edgeanim.report.projection import projection_table
from edgeanim.targets.board import load_board, load_shipped_board
from tests.benchmarks.synthetic import build_report

HERE = Roof(1, 100.0, 200.0, 20.0)
PARTS = (
    Part("net", "Conv", "float32", True, 8.0),
    Part("net", "Conv", "int8", True, 4.0),
    Part("net", "Resize", "float32", False, 2.0),
    Part("compose", "compose", "float32", False, 1.0),
)
roofs = st.builds(
    Roof, st.integers(1, 64), *(st.floats(0.1, 1e5, allow_nan=False) for _ in range(3))
)
parts = st.lists(
    st.builds(
        Part, st.sampled_from(("a", "b")), st.just("Conv"), st.sampled_from(("float32", "int8")),
        st.booleans(), st.floats(0, 1e4, allow_nan=False),
    ),
    min_size=1,
)  # fmt: skip


def test_every_part_keeps_its_share_of_its_own_roof() -> None:
    there = Roof(4, 50.0, 400.0, 5.0)
    stages = scaled_ms(PARTS, HERE, there)
    assert stages == {"net": 8 * 2 + 4 * 0.5 + 2 * 4, "compose": 4.0}


@settings(deadline=None)
@given(parts, roofs)
def test_a_machine_is_projected_onto_itself_exactly(some: Sequence[Part], roof: Roof) -> None:
    total = sum(scaled_ms(some, roof, roof).values())
    assert total == pytest.approx(sum(part.ms for part in some))


@settings(deadline=None)
@given(parts, roofs, roofs, st.floats(1, 8))
def test_a_better_roof_is_never_slower(
    some: Sequence[Part], here: Roof, there: Roof, factor: float
) -> None:
    better = Roof(
        there.threads, there.gflops_fp32 * factor, there.gops_int8 * factor,
        there.memory_gb_s * factor,
    )  # fmt: skip
    before, after = (sum(scaled_ms(some, here, roof).values()) for roof in (there, better))
    assert after == pytest.approx(before / factor)


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [(200.0, "within"), (10.0, "over"), (50.0, "cannot be told"), (100.0, "cannot be told")],
)
def test_a_verdict_needs_the_whole_interval(budget: float, verdict: str) -> None:
    made = project("v", PARTS, HERE, Roof(4, 50.0, 400.0, 5.0), board="b", budget_ms=budget)
    assert made.verdict == verdict
    assert (made.low_ms * SPREAD, made.high_ms / SPREAD) == (made.ms, made.ms)
    assert made.ms == pytest.approx(sum(made.stages_ms.values()))
    shown = projection_table([made])
    assert "PROJECTED" in shown
    assert "not measured" in shown
    assert f"{made.low_ms:.0f} to {made.high_ms:.0f}" in shown


def test_a_machine_too_slow_to_measure_its_roof_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_SECONDS", 0.001)
    with pytest.raises(DeviceFailed, match=r"did not finish within 0\.001 s"):
        measure_roof(saturates=False)


def test_what_a_report_calls_its_variants_does_not_steer_the_terminal() -> None:
    roof = Roof(4, 50.0, 400.0, 5.0)
    shown = projection_table([project("\x1b[2J", PARTS, HERE, roof, board="b", budget_ms=1.0)])
    assert "\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_int8_shortens_float_arithmetic_only() -> None:
    assert [part.ms for part in in_int8(PARTS, HERE)] == [4.0, 4.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("op", "kind", "expected"),
    [
        ("Conv", "compute", True), ("FusedConv", "compute", True), ("QLinearConv", "compute", True),
        ("Convolution", "compute", True), ("CONV_2D", "compute", True), ("MatMul", "compute", True),
        ("FullyConnected", "compute", True), ("Convert", "convert", False),
        ("Convert", "compute", False), ("Resize", "compute", False), ("Conv", "layout", False),
    ],
)  # fmt: skip
def test_what_bounds_an_op_is_read_from_its_name(op: str, kind: str, expected: bool) -> None:
    assert is_arithmetic(op, kind) is expected


def test_a_board_offers_its_threads_share_of_its_peaks() -> None:
    board = load_shipped_board("raspberry-pi-4")
    whole, own = roof_of(board, board.cores), roof_of(board)
    assert whole.gflops_fp32 == board.peaks.gflops_fp32
    assert own.gflops_fp32 == pytest.approx(whole.gflops_fp32 * board.threads / board.cores)
    assert own.memory_gb_s == whole.memory_gb_s
    assert roof_of(board, 99) == whole


def test_a_board_without_a_figure_for_int8_gains_nothing_by_it() -> None:
    board = load_shipped_board("raspberry-pi-4")
    for figure, int8 in ((99.0, 99.0), (None, board.peaks.gflops_fp32)):
        told = replace(board, peaks=replace(board.peaks, gops_int8=figure))
        assert roof_of(told, board.cores).gops_int8 == int8


def test_a_board_without_peaks_is_refused_and_the_file_to_fill_in_is_named() -> None:
    board = load_shipped_board("x86-avx2")
    with pytest.raises(UsageError, match=r"no peaks.*\[peaks\]") as refused:
        roof_of(board)
    (named,) = re.findall(r"Copy (.*\.toml), fill in", str(refused.value))
    assert load_board(named) == board
    with pytest.raises(UsageError, match=r"no peaks.*Fill in \[peaks\] in its file"):
        roof_of(replace(board, name="mine"))


def test_this_machines_roof_is_measured() -> None:
    roof = measure_roof(saturates=True)
    assert roof.gflops_fp32 > 0.1
    assert roof.memory_gb_s > 0.1
    assert roof.gops_int8 == pytest.approx(roof.gflops_fp32 * 4 / 3)


def test_a_report_is_taken_apart_by_stage_and_op() -> None:
    report = build_report()
    variant = report.variants[0]
    made = parts_of(variant)
    assert [(p.stage, p.op, p.arithmetic) for p in made] == [
        ("tiny", "Conv", True),
        ("other", "other", False),
    ]
    assert variant.latency is not None
    assert variant.latency.p50_ms is not None
    medians = [stage.p50_ms for stage in variant.stages.values() if stage.p50_ms is not None]
    least = sum(medians) * variant.latency.min_ms / variant.latency.p50_ms
    assert sum(p.ms for p in made) == pytest.approx(least)


@pytest.mark.parametrize("kind", [MissingComponent, DeviceFailed])
def test_where_no_variant_ran_the_reason_is_told(kind: type[EdgeanimError], tmp_path: Path) -> None:
    """Without its runtime, the advice was to compile the model with float32 variants."""
    says = "It needs 'openvino'. Install it with: pip install 'edgeanim[openvino]'"
    failure = Failure(kind.__name__, kind.exit_code, says)
    report = build_report(failure=failure, machine=describe().machine)
    failed = replace(report, variants=report.variants[1:])
    save_report(tmp_path / "net.json", failed)
    with pytest.raises(kind, match=r"net\.json: It needs 'openvino'") as caught:
        pipeline.project(tmp_path / "net.json", "raspberry-pi-4")
    assert str(caught.value).count("Install it with") == 1


def test_what_computed_in_half_floats_has_no_roof_and_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On float32's roof, a board without bfloat16 would seem to be as fast as with it."""
    assert has_roofs(PARTS)
    assert has_roofs([Part("net", "Reorder", "bfloat16", False, 1.0)])
    assert not has_roofs([*PARTS, Part("net", "Convolution", "bfloat16", True, 1.0)])
    monkeypatch.setattr(pipeline, "measure_roof", lambda **_: HERE)
    report = build_report(machine=describe().machine)
    whole, int8 = report.variants
    halves = replace(
        whole,
        id="onnxruntime-bfloat16",
        precision="bfloat16",
        executed=in_bfloat16(whole.executed),
    )
    path = tmp_path / "report.json"
    save_report(path, replace(report, variants=(whole, halves, int8)))
    made = pipeline.project(path, ["raspberry-pi-4"])
    assert [p.variant for p in made] == ["onnxruntime-float32", "onnxruntime-int8"]
    save_report(path, replace(report, variants=(halves,)))
    with pytest.raises(UsageError, match="Nothing here can be projected"):
        pipeline.project(path, ["raspberry-pi-4"])


def test_a_precision_that_the_board_does_not_list_is_left_out_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "measure_roof", lambda **_: HERE)
    report = build_report({"openvino": (20.0, 8.0)}, machine=describe().machine)
    path = tmp_path / "report.json"
    save_report(path, report)
    with TerminalProgress() as progress:
        made = pipeline.project(path, ["raspberry-pi-4", "intel-n100"], progress=progress)
    assert [(p.board, p.variant) for p in made] == [
        ("raspberry-pi-4", "openvino-float32"),
        ("intel-n100", "openvino-float32"),
        ("intel-n100", "openvino-int8"),
    ]
    said = capsys.readouterr().err
    assert "Leave out openvino-int8 on raspberry-pi-4" in said
    assert "the board's file lists float32 for openvino. On Arm it runs most INT8" in said
    save_report(path, replace(report, variants=report.variants[1:]))
    with pytest.raises(UsageError, match="run no variant in its precision"):
        pipeline.project(path, ["raspberry-pi-4"])


def test_threads_that_a_board_has_no_cores_for_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "measure_roof", lambda **_: HERE)
    path = tmp_path / "report.json"
    save_report(path, build_report(machine=describe().machine))
    with TerminalProgress() as progress:
        pipeline.project(path, ["raspberry-pi-4"], threads=4, progress=progress)
    assert "cores" not in capsys.readouterr().err
    with TerminalProgress() as progress:
        made = pipeline.project(path, ["raspberry-pi-4"], threads=99, progress=progress)
    assert {each.threads for each in made} == {4}
    said = capsys.readouterr().err
    assert "raspberry-pi-4 with 4 threads" in said
    assert "no more cores than that for the 99 asked for" in said


def in_bfloat16(executed: Executed | None) -> Executed:
    assert executed is not None
    graphs = {
        name: replace(graph, ops=tuple(replace(op, precision="bfloat16") for op in graph.ops))
        for name, graph in executed.graphs.items()
    }
    return replace(executed, graphs=graphs)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("net.onnx", BadInput, "edgeanim compile"),
        ("clip.mp4", UsageError, "Give an .eab"),
        ("absent", BadInput, "No such file"),
    ],
)
def test_what_cannot_be_projected_is_told_by_what_to_give(
    tmp_path: Path, name: str, kind: type[Exception], said: str
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(kind, match=said):
        pipeline.project(tmp_path / name, ["raspberry-pi-5"])


def test_only_a_report_of_this_machine_is_projected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "measure_roof", lambda **_: HERE)
    other, ours = tmp_path / "other.json", tmp_path / "ours.json"
    save_report(other, build_report())
    save_report(ours, build_report(machine=describe().machine))
    with pytest.raises(UsageError, match="another machine"):
        pipeline.project(other, ["raspberry-pi-5"])
    made = pipeline.project(ours, ["raspberry-pi-4", "raspberry-pi-5"])
    assert [(p.board, p.variant) for p in made] == [
        (board, variant)
        for board in ("raspberry-pi-4", "raspberry-pi-5")
        for variant in ("onnxruntime-float32", "onnxruntime-int8")
    ]
    assert all(p.low_ms < p.ms < p.high_ms for p in made)


def test_a_report_at_hand_is_projected_as_one_in_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "measure_roof", lambda **_: HERE)
    report = build_report(machine=describe().machine)
    save_report(tmp_path / "ours.json", report)
    in_a_file = pipeline.project(tmp_path / "ours.json", "raspberry-pi-4")
    assert pipeline.project(report, "raspberry-pi-4") == in_a_file
    with pytest.raises(UsageError, match=r"^This report was made on another machine"):
        pipeline.project(build_report(), "raspberry-pi-4")


def test_the_known_net_is_the_known_net(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    # Howard et al. 2017, table 8: 569 million multiply-adds, 4.2 million parameters.
    assert mobilenet(tmp_path / "net.onnx") == pytest.approx(569e6, rel=0.002)
    model = onnx.load(str(tmp_path / "net.onnx"))
    params = sum(math.prod(t.dims) for t in model.graph.initializer)
    assert params == pytest.approx(4.2e6, rel=0.02)


@pytest.mark.slow
def test_the_check_prints_both_comparisons() -> None:
    pytest.importorskip("onnxruntime")
    shown = projection_check.check()
    assert "calibration (geometric mean)" in shown
    assert "int8, 1 thread" in shown
