from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeanim.benchmarks.figures.agreement import bars, main
from edgeanim.benchmarks.results.result import save_report
from edgeanim.core.errors import UsageError
from tests.benchmarks.synthetic import build_report


def test_runs_of_the_same_thing_agree_variant_by_variant() -> None:
    found = list(bars(build_report(), build_report(seed=9)))
    assert [bar.name.partition(", twice")[0] for bar in found] == [
        *(f"onnxruntime-float32, {figure}" for figure in ("p50", "p90")),
        *(f"onnxruntime-int8, {figure}" for figure in ("p50", "p90")),
        "onnxruntime-int8, gain over float32",
    ]
    assert all(bar.met for bar in found)


def test_a_variant_that_is_slower_the_second_time_does_not() -> None:
    found = list(bars(build_report(), build_report({"onnxruntime": (20.0, 8.8)})))
    assert [bar.met for bar in found] == [True, True, False, False, False]
    assert "8.14 ms (8.06 to 8.22)" in found[2].measured


def test_on_a_slower_machine_the_gain_is_still_the_same() -> None:
    found = list(bars(build_report(), build_report({"onnxruntime": (22.0, 8.8)})))
    assert [bar.met for bar in found] == [False, False, False, False, True]


def test_what_was_not_measured_is_no_agreement() -> None:
    report = build_report()
    first = report.variants[0]
    assert first.latency is not None
    short = replace(first, latency=replace(first.latency, p90_ms=None, p90_interval_ms=None))
    found = list(bars(report, replace(report, variants=(short,))))
    assert [bar.met for bar in found] == [True, False]
    assert "too few samples" in found[1].measured
    with pytest.raises(UsageError, match="in common"):
        list(bars(report, replace(report, variants=())))


def test_the_command_says_how_far_apart_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    save_report(first, build_report(reasons=("foreign load: someone else was here",)))
    save_report(second, replace(build_report(seed=3), created="2025-06-01T11:01:00Z"))
    assert main([str(first), str(second)]) == 0
    said = capsys.readouterr().out
    assert "61 minutes apart" in said
    assert "first.json: foreign load" in said
    save_report(second, build_report({"onnxruntime": (20.0, 9.0)}))
    assert main([str(first), str(second)]) == 1
    save_report(second, build_report(machine="m2"))
    assert main([str(first), str(second)]) == 2
