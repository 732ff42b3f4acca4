"""The benchmark of the bars, with a script in place of the `edgeanim` command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeanim.benchmarks.figures.bar import Bar, line
from edgeanim.benchmarks.figures.bars import Bench, main
from edgeanim.benchmarks.results.result import save_report
from edgeanim.core.errors import DeviceFailed
from tests.benchmarks.synthetic import build_report


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """`edgeanim` is a script that does nothing, but fails for `quantize` and imports whatever the
    variable PLEASE_IMPORT names."""
    script = tmp_path / "fake.py"
    script.write_text(
        "import os, sys\n"
        "if 'PLEASE_IMPORT' in os.environ: __import__(os.environ['PLEASE_IMPORT'])\n"
        "if sys.argv[1] == 'quantize': sys.exit('error: no such model')\n"
    )
    return Bench(tmp_path, (sys.executable, str(script)))


def test_start_up_is_a_ratio_with_its_interval(bench: Bench) -> None:
    (bar,) = bench.start_up()
    assert bar.met
    assert " to " in bar.measured


def test_a_command_that_fails_says_why(bench: Bench) -> None:
    with pytest.raises(DeviceFailed, match="no such model"):
        list(bench.build())


def test_the_speed_ups_are_those_of_the_report(bench: Bench, tmp_path: Path) -> None:
    report = build_report({"onnxruntime": (20, 8), "openvino": (20, 10)})
    save_report(tmp_path / "report.json", report)
    bars = {bar.name: bar for bar in bench.run_variants()}
    assert bars["INT8 against float32, onnxruntime"].met
    assert bars["INT8 against float32, onnxruntime"].measured.startswith("2.4")
    assert not bars["INT8 against float32, openvino"].met
    assert bars["INT8 against float32, tflite"].measured == "not measured"
    assert not bars["INT8 against float32, tflite"].met
    assert bars["mean SSIM drift of INT8, openvino"].met
    assert bars["no torch in a process of bench"].met


def test_an_import_of_torch_is_seen(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("")
    monkeypatch.setitem(bench.environment, "PLEASE_IMPORT", "torch")
    save_report(tmp_path / "report.json", build_report())
    bar = next(bench.run_variants())
    assert not bar.met
    assert bar.measured == "1 of 1 processes"


def test_a_missed_bar_is_shouted() -> None:
    assert line(Bar("x", "< 1 s", "2 s", False)).endswith("MISSED")


@pytest.mark.parametrize(("options", "count"), [((), 5), (("--skip-demo",), 4)])
@pytest.mark.parametrize("missed", [None, "animate"])
def test_all_bars_are_printed_and_one_that_is_missed_is_told_to_the_shell(
    options: tuple[str, ...],
    count: int,
    missed: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step in ("start_up", "build", "run_variants", "animate", "demo"):
        bar = Bar(step, "< 1 s", "0.5 s", step != missed)
        monkeypatch.setattr(Bench, step, lambda _, bar=bar: iter([bar]))
    assert main(options) == (1 if missed else 0)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == count
    assert sum(line.endswith("MISSED") for line in printed) == (missed is not None)
