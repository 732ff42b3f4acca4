from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeanim.benchmarks.accuracy import main
from edgeanim.benchmarks.loops import Subject as Loops
from edgeanim.benchmarks.loops import onnxruntime_loop
from edgeanim.benchmarks.process import WorkerProcess
from edgeanim.benchmarks.protocol import Block, Job, Ready, Request
from edgeanim.benchmarks.runner import Subject
from edgeanim.benchmarks.slowed import MODULE
from edgeanim.targets.bundle import Variant, write_bundle


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
    subject = Loops(job)
    assert subject.graph == "tiny"
    assert {name: array.shape for name, array in subject.inputs.items()} == {
        "image": (1, 3, 64, 64)
    }
    for loop in (subject.harness, subject.bare, onnxruntime_loop(subject, threads=1)):
        times = loop(3)
        assert len(times) == 3
        assert min(times) > 0


def test_the_command_prints_its_bars(
    compile_tiny: Callable[[str], Subject],
    golden: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subject = compile_tiny("onnxruntime")
    path = tmp_path / "tiny.eab"
    write_bundle(
        path,
        contract=subject.contract,
        variants=[Variant("onnxruntime", "float32", subject.graphs)],
        golden=golden,
        tracks={},
        provenance={},
    )
    assert main([str(path), "--only", "soak", "--soak", "1"]) in (0, 1)
    assert "growth over a soak of 1 s" in capsys.readouterr().out
    assert main([str(path), "--only", "bare", "--variant", "nothing"]) == 2
    assert "no variant 'nothing'" in capsys.readouterr().err
