from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeanim.benchmarks.figures import loops
from edgeanim.benchmarks.figures.accuracy import main
from edgeanim.benchmarks.figures.drift_long import main as drift_long
from edgeanim.benchmarks.figures.drift_long import windows_of
from edgeanim.benchmarks.figures.loops import LoopedGraph, onnxruntime_loop
from edgeanim.benchmarks.figures.slowed import MODULE
from edgeanim.benchmarks.runner import Subject
from edgeanim.benchmarks.timing.process import WorkerProcess
from edgeanim.benchmarks.timing.protocol import Block, Job, Ready, Request
from edgeanim.core.errors import DeviceFailed
from edgeanim.targets.bundle import Variant, open_bundle, write_bundle


@pytest.fixture
def job(compile_tiny: Callable[[str], Subject], golden: Path) -> Job:
    subject = compile_tiny("onnxruntime")
    return Job(subject.contract, subject.graphs, golden, 1, False, {})


def test_a_slowed_worker_is_busy_for_its_share_of_every_frame(job: Job, tmp_path: Path) -> None:
    command = (sys.executable, "-m", MODULE, "4")
    worker = WorkerProcess(job, tmp_path / "worker", command=command)
    worker.receive(Ready)
    block = worker.ask(Request("block", 12), Block)
    worker.close()
    for frame, whole in enumerate(block.total_ms):
        stages = sum(times[frame] for times in block.stages_ms.values())
        assert whole >= 5 * stages


def test_the_loops_run_the_same_graph_on_the_scenes_own_frames(job: Job) -> None:
    looped = LoopedGraph(job)
    assert looped.graph == "tiny"
    assert {name: array.shape for name, array in looped.inputs.items()} == {"image": (1, 3, 64, 64)}
    for loop in (looped.harness, looped.bare, onnxruntime_loop(looped, threads=1)):
        times = loop(3)
        assert len(times) == 3
        assert min(times) > 0


@pytest.fixture
def bundle(compile_tiny: Callable[[str], Subject], golden: Path, tmp_path: Path) -> Path:
    """A bundle of the tiny generator for ONNX Runtime and, as a copy, the fake backend."""
    subjects = {name: compile_tiny(name) for name in ("onnxruntime", "null")}
    path = tmp_path / "tiny.eab"
    write_bundle(
        path,
        contract=subjects["null"].contract,
        variants=[Variant(name, "float32", s.graphs) for name, s in subjects.items()],
        golden=golden,
        tracks={},
        provenance={},
    )
    return path


def test_the_command_prints_its_bars(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle
    assert main([str(path), "--only", "soak", "--soak", "1"]) in (0, 1)
    assert "growth over a soak of 1 s" in capsys.readouterr().out
    assert main([str(path), "--only", "bare", "--variant", "nothing"]) == 2
    assert "no variant 'nothing'" in capsys.readouterr().err


def test_a_long_run_is_compared_window_by_window(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(bundle), "--frames", "40", "--against", "onnxruntime-float32"]
    assert drift_long([*command, "--variant", "onnxruntime-float32"]) == 0
    assert "Drift +0.00000" in capsys.readouterr().out
    assert drift_long([*command, "--variant", "nothing"]) == 2
    assert drift_long([*command[:1], "--frames", "19"]) == 2
    with open_bundle(bundle) as opened:
        windows = list(windows_of(opened, "null-float32", "onnxruntime-float32", 40))
    assert [window.first_frame for window in windows] == list(range(0, 40, 4))
    assert all(window.drift.frames == 4 for window in windows)
    with open_bundle(bundle) as opened:
        uneven = list(windows_of(opened, "null-float32", "onnxruntime-float32", 27))
    assert [window.drift.frames for window in uneven] == [2, 3, 3, 2, 3, 3, 2, 3, 3, 3]
    assert all(window.drift.drift_mean > 0.1 for window in windows)
    with open_bundle(bundle) as opened:
        some = list(windows_of(opened, "null-float32", "onnxruntime-float32", 80, every=2))
        all_of_them = list(windows_of(opened, "null-float32", "onnxruntime-float32", 80))
    # Of the eight frames of a window, the first two and the fifth and sixth.
    assert [window.drift.frames for window in some] == [4] * 10
    for part, whole in zip(some, all_of_them, strict=True):
        assert part.drift.ssim == tuple(whole.drift.ssim[k] for k in (0, 1, 4, 5))
        assert part.drift.temporal_error is not None
        assert whole.drift.temporal_error is not None
        assert part.drift.temporal_error.worst <= whole.drift.temporal_error.worst
    # Every window sees other frames of the scene, which goes to and fro over its eight.
    assert len({window.drift.drift_mean for window in windows}) > 2


def test_a_tool_that_does_not_end_is_told(
    compile_tiny: Callable[[str], Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "benchmark_app"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr(loops, "_TOOL_SECONDS", 0.1)
    with pytest.raises(DeviceFailed, match=r"did not finish within 0\.1 s"):
        loops.benchmark_app(compile_tiny("null").graphs[0], 1, 1)
