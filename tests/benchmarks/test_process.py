"""Workers that die, hang or talk nonsense; each is a script in place of the real one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgeanim.benchmarks.runner import Subject
from edgeanim.benchmarks.timing import process
from edgeanim.benchmarks.timing.process import WorkerFailed, WorkerPool, WorkerProcess
from edgeanim.benchmarks.timing.protocol import Block, Done, Job, Ready, Request, Warm
from edgeanim.benchmarks.timing.worker import read_memory
from edgeanim.core.errors import BadInput

Start = Callable[[str], WorkerProcess]


@pytest.fixture
def job(compile_tiny: Callable[[str], Subject], golden: Path) -> Job:
    subject = compile_tiny("null")
    return Job(subject.contract, subject.graphs, golden, 1, False, {})


@pytest.fixture
def start(job: Job, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker that runs the given Python code instead of the real one."""
    workers: list[WorkerProcess] = []

    def run(code: str, timeout: float = 20.0) -> WorkerProcess:
        folder = tmp_path / str(len(workers))
        command = (sys.executable, "-c", f"import os, sys, time\n{code}")
        workers.append(WorkerProcess(job, folder, timeout=timeout, command=command))
        return workers[-1]

    yield run
    for worker in workers:
        worker.close(patience=0)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.kill(os.getpid(), 4)", "instruction that this CPU does not have"),
        ("os.kill(os.getpid(), 9)", "memory ran out"),
        ("os.kill(os.getpid(), 11)", "segmentation fault"),
        ("os.kill(os.getpid(), 16)", "signal 16"),
        ("sys.exit('libgomp: no such thing')", "status 1: libgomp: no such thing"),
        ("sys.exit(3)", "status 3: it said nothing"),
        ("os.close(1); time.sleep(30)", "closed its pipe"),
        ("print('{}', flush=True); time.sleep(30)", "nonsense"),
        ("print('hello', flush=True); time.sleep(30)", "not valid JSON"),
        ("print('{\"load_ms\": NaN}', flush=True)", "not valid JSON"),
    ],
)
def test_a_worker_that_dies_is_diagnosed(start: Start, code: str, reason: str) -> None:
    with pytest.raises(WorkerFailed, match=reason) as caught:
        start(code).receive(Ready)
    assert caught.value.failure.error == "DeviceFailed"
    assert caught.value.failure.exit_code == 5


def test_an_answer_without_an_end_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MAX_REPLY_BYTES", 1 << 20)
    worker = start("while True: os.write(1, b'x' * 65536)")
    with pytest.raises(WorkerFailed, match="its answer is longer than 1 MiB"):
        worker.receive(Ready)
    assert not psutil.pid_exists(worker.pid)


def test_answers_that_come_together_are_taken_one_by_one(start: Start) -> None:
    worker = start("""print('{"frames": 1}\\n{"frames": 2}\\n{"fra', end='', flush=True)
time.sleep(0.1); print('mes": 3}', flush=True)""")
    assert [worker.receive(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]


def test_a_worker_that_hangs_is_ended(start: Callable[..., WorkerProcess]) -> None:
    worker = start("time.sleep(60)", timeout=0.3)
    with pytest.raises(WorkerFailed, match="no answer"):
        worker.receive(Ready)
    assert not psutil.pid_exists(worker.pid)


def test_an_error_of_ours_keeps_its_class_and_code(start: Start) -> None:
    answer = '{"error": "MissingComponent", "exit_code": 4, "message": "no runtime"}'
    with pytest.raises(WorkerFailed, match="no runtime") as caught:
        start(f"print({answer!r}, flush=True)").receive(Ready)
    assert caught.value.failure.exit_code == 4


def test_the_crew_ends_everyone_it_started(job: Job, tmp_path: Path) -> None:
    def stop_half_way() -> None:
        with WorkerPool(tmp_path) as pool:
            pids.extend(pool.start(job).pid for _ in range(2))
            raise KeyboardInterrupt

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_real_worker_plays_without_torch_and_ends_with_its_pipe(
    compile_tiny: Callable[[str], Subject], golden: Path, tmp_path: Path
) -> None:
    subject = compile_tiny("onnxruntime")
    job = Job(subject.contract, subject.graphs, golden, 1, False, {})
    worker = WorkerProcess(job, tmp_path / "w")
    try:
        assert worker.receive(Ready).load_ms > 0
        warm = worker.ask(Request("warm", frames=3), Warm)
        assert warm.frames == 3
        assert warm.first_frame_ms > 0
        block = worker.ask(Request("block", frames=4), Block)
        assert len(block.total_ms) == 4
        for stage in block.stages_ms.values():
            assert all(part <= whole for part, whole in zip(stage, block.total_ms, strict=True))
        frames = tmp_path / "frames.npy"
        assert worker.ask(Request("render", path=frames), Done).frames == 8
        assert np.load(frames).shape == (8, 64, 64, 3)
        mapped = Path(f"/proc/{worker.pid}/maps").read_text()
        assert "onnxruntime" in mapped
        assert "torch" not in mapped
    finally:
        worker.close()
    assert not psutil.pid_exists(worker.pid)


def test_a_worker_with_a_damaged_golden_file_says_so(job: Job, tmp_path: Path) -> None:
    damaged = tmp_path / "golden.npz"
    damaged.write_bytes(b"PK\x03\x04")
    worker = WorkerProcess(Job(job.contract, job.graphs, damaged, 1, False, {}), tmp_path / "w")
    with pytest.raises(WorkerFailed) as caught:
        worker.receive(Ready)
    worker.close()
    assert caught.value.failure.error == "BadInput"
    assert str(damaged) in caught.value.failure.message


def test_memory_is_read_as_the_kernel_tells_it(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n")
    (tmp_path / "stat").write_text("1 (a b) c) S " + " ".join(map(str, range(4, 30))) + "\n")
    memory = read_memory(tmp_path)
    assert memory.peak_rss_mb == 2
    assert memory.pss_mb is None
    assert memory.uss_mb is None
    assert memory.major_faults == 12
    (tmp_path / "smaps_rollup").write_text(
        "0-1 ---p\nRss: 3 kB\nPss: 512 kB\nPrivate_Clean: 256 kB\nPrivate_Dirty: 256 kB\n"
    )
    memory = read_memory(tmp_path)
    assert memory.pss_mb == memory.uss_mb == 0.5
    (tmp_path / "status").write_text("Name:\tx\n")
    with pytest.raises(BadInput):
        read_memory(tmp_path)
