"""`edgeanim compare`: its gates, and what is told meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from edgeanim.benchmarks.results.result import save_report
from tests.benchmarks.synthetic import build_report
from tests.cli.called import edgeanim


def test_a_gate_that_failed_is_told_below_the_table(tmp_path: Path) -> None:
    save_report(tmp_path / "report.json", build_report())
    done = edgeanim("compare", tmp_path / "report.json", "--fail-on", "latency.p50_ms > 0")
    assert done.returncode == 1
    assert "int8 90%" in done.stdout
    assert "The gate 'latency.p50_ms > 0' failed" in " ".join(done.stderr.split())


def test_many_reports_are_seen_to_get_on(tmp_path: Path) -> None:
    for seed in range(3):
        save_report(tmp_path / f"{seed}.json", build_report(seed=seed))
    reports = sorted(tmp_path.glob("*.json"))
    done = edgeanim("compare", *reports, "--html", tmp_path / "page.html", "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["changes"]) == 4
    told = [line[:24].strip() for line in done.stderr.splitlines()]
    assert told == ["Read the reports", "Compare with the first", "Write the page"]


def test_of_several_gates_none_is_passed_over(tmp_path: Path) -> None:
    save_report(tmp_path / "report.json", build_report())
    gates = ["--fail-on", "size_bytes > 0", "--fail-on", "latency.p50_ms > 0"]
    gates += ["--fail-on", "latency.p50_ms < 0"]
    done = edgeanim("compare", tmp_path / "report.json", *gates)
    told = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "The gate 'size_bytes > 0' failed" in told
    assert "The gate 'latency.p50_ms > 0' failed" in told
    assert "'latency.p50_ms < 0'" not in told
    assert edgeanim("compare", tmp_path / "report.json", *gates[4:]).returncode == 0


def test_of_many_figures_only_the_nearest_are_named(tmp_path: Path) -> None:
    save_report(tmp_path / "report.json", build_report())
    done = edgeanim("compare", tmp_path / "report.json", "--fail-on", "speed > 50")
    assert done.returncode == 2
    assert len(done.stderr) < 400
