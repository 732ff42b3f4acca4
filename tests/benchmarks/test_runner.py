from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgeanim.benchmarks import runner
from edgeanim.benchmarks.results.result import ModelRecord, Report, dump_report, parse_report
from edgeanim.benchmarks.runner import BenchOptions, Subject, run_bench
from edgeanim.core.errors import BadInput, DeviceFailed, UsageError, is_full
from edgeanim.core.progress import Silent
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.scene import Scene
from edgeanim.targets.board import load_board

QUICK = BenchOptions(iterations=66, rounds=2, blocks=3, block_s=0, warmup_frames=2, warmup_s=0)
MODEL = ModelRecord("tiny", "0" * 64, None)


@pytest.fixture(scope="module")
def report(compile_tiny: Callable[[str], Subject], golden: Path) -> Report:
    again = replace(compile_tiny("null"), id="null-again")
    subjects = [compile_tiny("onnxruntime"), compile_tiny("null"), again]
    return run_bench(subjects, golden, QUICK, model=MODEL, board=load_board("local"))


def test_every_variant_gets_all_its_figures(report: Report) -> None:
    assert report.exit_code == 0
    for variant in report.variants:
        assert variant.latency is not None
        assert variant.memory is not None
        assert variant.executed is not None
        assert variant.latency.samples == 66
        assert variant.latency.processes == 2
        assert variant.latency.p99_ms is None
        assert variant.latency.p50_ms is not None
        assert variant.latency.p90_ms is not None
        assert 0 < variant.latency.p50_ms <= variant.latency.p90_ms <= variant.latency.max_ms
        assert variant.memory.peak_rss_mb > 10
        assert variant.backend_version
        assert "tiny" in variant.stages
        assert list(variant.stages)[-1] == "other"
        assert sum(stage.share for stage in variant.stages.values()) == pytest.approx(1)


def test_frames_of_the_reference_backend_do_not_drift(report: Report) -> None:
    variant = report.variant("onnxruntime-float32")
    assert variant is not None
    assert variant.drift is not None
    assert variant.drift.ssim_worst == pytest.approx(1)


def test_a_backend_that_shows_something_else_drifts(report: Report) -> None:
    variant = report.variant("null-float32")
    assert variant is not None
    assert variant.drift is not None
    assert variant.drift.drift_mean > 0.1


def test_blocks_of_all_variants_are_paired(report: Report) -> None:
    for variant in report.variants:
        assert [len(process.blocks_ms) for process in variant.samples] == [3, 3]
        assert [process.round for process in variant.samples] == [0, 1]


def test_the_gain_is_over_the_first_float32_of_the_same_backend(report: Report) -> None:
    gains = {variant.id: variant.speedup for variant in report.variants}
    assert gains["onnxruntime-float32"] is gains["null-float32"] is None
    again = gains["null-again"]
    assert again is not None
    assert again.over == "null-float32"
    assert again.ratio in again.interval


def test_a_report_survives_being_written_and_read(report: Report) -> None:
    assert parse_report(dump_report(report), where="text") == report


def test_a_variant_that_fails_is_diagnosed_and_the_others_go_on(
    compile_tiny: Callable[[str], Subject], golden: Path, tmp_path: Path
) -> None:
    good, bad = compile_tiny("null"), compile_tiny("onnxruntime")
    broken = tmp_path / "tiny.onnx"
    broken.write_bytes(bad.graphs[0].files[0].read_bytes()[:100])
    bad = replace(bad, graphs=(replace(bad.graphs[0], files=(broken,)),))
    options = replace(QUICK, rounds=1, iterations=3)
    report = run_bench([good, bad], golden, options, model=MODEL, board=load_board("local"))
    failed, fine = report.variant("onnxruntime-float32"), report.variant("null-float32")
    assert failed is not None
    assert fine is not None
    assert failed.failure is not None
    assert failed.failure.error == "BadInput"
    assert failed.latency is failed.drift is failed.memory is None
    assert fine.latency is not None
    assert fine.failure is None
    assert report.exit_code == 3
    assert parse_report(dump_report(report), where="text") == report


def test_a_full_disk_is_no_variants_failure(
    compile_tiny: Callable[[str], Subject], golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search took it for one, and chose among those that had found room."""
    code = (
        "from edgeanim.benchmarks.timing import worker\n"
        "from edgeanim.core.errors import disk_errors\n"
        "class Full(worker.Worker):\n"
        "    def render(self, request):\n"
        "        with disk_errors(request.path):\n"
        "            raise OSError(28, 'No space left on device')\n"
        "worker.main(Full)\n"
    )
    command = (sys.executable, "-c", code)
    monkeypatch.setattr(runner, "WorkerProcess", partial(runner.WorkerProcess, command=command))
    with pytest.raises(DeviceFailed, match="disk is full") as caught:
        run_bench(
            [compile_tiny("null")], golden, replace(QUICK, rounds=1, iterations=3),
            model=MODEL, board=load_board("local"),
        )  # fmt: skip
    assert caught.value.where == tempfile.gettempdir()
    assert is_full(caught.value.__cause__)


def test_a_worst_frame_that_cannot_be_saved_costs_no_figure(
    compile_tiny: Callable[[str], Subject], golden: Path, tmp_path: Path
) -> None:
    """A disk that had filled up meanwhile lost all that was measured."""
    (tmp_path / "full").touch()
    report = run_bench(
        [compile_tiny("null"), replace(compile_tiny("null"), id="null-again")], golden,
        replace(QUICK, rounds=1, iterations=3), model=MODEL, board=load_board("local"),
        pictures=tmp_path / "full" / "frames",
    )  # fmt: skip
    assert report.exit_code == 0
    assert [variant.worst_picture for variant in report.variants] == [None, None]
    (remark,) = (r for r in report.settings.remarks if "saved" in r)
    assert remark == "a worst frame could not be saved: This is a file; a folder is needed here"


def test_the_frames_must_have_the_reference_size(
    compile_tiny: Callable[[str], Subject], golden: Path, tmp_path: Path
) -> None:
    truncated = tmp_path / "golden.npz"
    truncated.write_bytes(golden.read_bytes()[:200])
    with pytest.raises(BadInput):
        run_bench([compile_tiny("null")], truncated, model=MODEL, board=load_board("local"))


def test_frames_too_small_to_compare_are_refused_before_anything_is_measured(
    compile_tiny: Callable[[str], Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.zeros((2, 8, 30, 3), np.uint8)
    save_golden(tmp_path / "golden.npz", Golden(Scene(driver=frames), frames))
    monkeypatch.setattr(runner, "WorkerPool", lambda *_: pytest.fail("processes are started"))
    with pytest.raises(BadInput, match=r"11x11 pixels, and these have 30x8"):
        run_bench(
            [compile_tiny("null")],
            tmp_path / "golden.npz",
            model=MODEL,
            board=load_board("local"),
        )


def test_no_subject_and_equal_names_are_refused(
    compile_tiny: Callable[[str], Subject], golden: Path
) -> None:
    one = compile_tiny("null")
    with pytest.raises(UsageError, match="no variant"):
        run_bench([], golden, model=MODEL, board=load_board("local"))
    with pytest.raises(UsageError, match="Two variants"):
        run_bench([one, one], golden, model=MODEL, board=load_board("local"))


class _Interrupt(Silent):
    """Presses Ctrl-C after the second block."""

    def __init__(self) -> None:
        self.steps = 0
        self.children: list[psutil.Process] = []

    def step(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.steps += count
        if self.steps == 2:
            self.children = psutil.Process().children(recursive=True)
            raise KeyboardInterrupt


def test_interrupting_leaves_no_process_behind(
    compile_tiny: Callable[[str], Subject], golden: Path
) -> None:
    stop = _Interrupt()
    with pytest.raises(KeyboardInterrupt):
        run_bench(
            [compile_tiny("null")],
            golden,
            QUICK,
            model=MODEL,
            board=load_board("local"),
            progress=stop,
        )
    assert stop.children
    assert not any(child.is_running() for child in stop.children)


def test_a_worker_imports_no_torch_and_no_onnx() -> None:
    code = (
        "import edgeanim.benchmarks.timing.worker, sys, json;"
        "from edgeanim.targets.backends import get_backend;"
        "[get_backend(b).available() for b in ('onnxruntime', 'openvino', 'tflite')];"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    modules = json.loads(done.stdout)
    assert "numpy" in modules
    assert not {"torch", "onnx", "nncf", "matplotlib", "tensorflow"} & set(modules)


@pytest.mark.parametrize("name", ["threads", "iterations", "rounds", "blocks", "warmup_frames"])
def test_options_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name.replace("_", " ")):
        BenchOptions(**{name: 0})


def test_blocks_reach_the_iterations_asked_for() -> None:
    options = BenchOptions(iterations=97, rounds=3, blocks=4)
    assert options.block_frames * options.rounds * options.blocks >= 97
    quick = options.quick()
    assert quick.block_frames * quick.rounds * quick.blocks >= 64
