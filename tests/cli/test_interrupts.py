"""Ctrl-C, a plain kill and a worker that dies: no traceback, nothing half-written, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.cli.called import edgeanim_started

Ready = Callable[[], object]


@pytest.fixture(scope="module")
def bundle(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    pytest.importorskip("onnxruntime")
    from edgeanim import api
    from edgeanim.core.store import Store

    folder = tmp_path_factory.mktemp("bundle")
    out, store = folder / "tiny.eab", Store(folder / "store")
    api.compile(tiny_onnx(), out=out, backends=("onnxruntime",), frames=photos, store=store)
    return out


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The TMPDIR of the commands that a test starts; below `tmp_path` its name could be too long
    for the sockets through which processes send batches."""
    with tempfile.TemporaryDirectory(prefix="edgeanim-test-") as folder:
        yield Path(folder)


def start(temporary: Path, *args: object, stdin: int | None = None) -> subprocess.Popen[str]:
    env = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    return edgeanim_started(*args, env=env, stdin=stdin)


def wait_until(ready: Ready, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def ends(process: subprocess.Popen[str], code: int) -> str:
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    return stderr


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Those that are there now; of all children some may end while they are looked at."""
    workers = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "edgeanim.benchmarks.timing.worker" in child.cmdline():
                workers.append(child)
    return workers


def found_in(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder in which others may go while it is gone through."""
    with suppress(FileNotFoundError):
        return list(folder.rglob(pattern))
    return []


def left_in(folder: Path) -> list[Path]:
    """All but the cache that PyTorch keeps from run to run."""
    caches = folder.glob("torchinductor_*")
    return sorted(set(folder.rglob("*")) - {part for c in caches for part in (c, *c.rglob("*"))})


def test_a_bench_leaves_nothing_even_if_its_worker_is_killed(bundle: Path, temporary: Path) -> None:
    # The trace of a runtime is what a killed worker can no longer remove. It lies there for a
    # moment only, which a busy machine may let pass.
    for _ in range(5):
        process = start(temporary, "bench", bundle, "--quick")
        while process.poll() is None and not found_in(temporary, "trace_*"):
            time.sleep(0.005)
        if process.poll() is None:
            break
        process.communicate()
    for worker in workers_of(process):
        worker.kill()
    stderr_and_code = process.communicate(timeout=200)
    assert process.returncode == 5, stderr_and_code
    assert left_in(temporary) == []


def test_a_session_that_nobody_closes_leaves_no_trace_behind(bundle: Path, temporary: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from edgeanim.targets.backends import SessionOptions, get_backend\n"
        "from edgeanim.targets.bundle import open_bundle\n"
        "with open_bundle(Path(sys.argv[1])) as opened:\n"
        "    graph = opened.variants[0].graphs[0]\n"
        "    session = get_backend('onnxruntime').load(graph, SessionOptions(profile=True))\n"
        "    session.run({'image': np.zeros((1, 3, 64, 64), np.float32)})\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(bundle)],
        env=os.environ | {"TMPDIR": str(temporary)}, check=True,
    )  # fmt: skip
    assert left_in(temporary) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_bench_that_is_stopped_ends_its_workers_and_leaves_nothing(
    bundle: Path, temporary: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    report = tmp_path / "report.json"
    process = start(temporary, "bench", bundle, "-o", report)
    wait_until(lambda: workers_of(process), process)
    workers = workers_of(process)
    process.send_signal(number)
    ends(process, code)
    # Told to end, they may still be about it for a moment.
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert left_in(temporary) == []
    assert not report.exists()


def test_a_compile_that_is_stopped_leaves_nothing(
    tiny_onnx: Callable[..., Path], photos: Path, temporary: Path, tmp_path: Path
) -> None:
    pytest.importorskip("litert_torch")
    out = tmp_path / "out" / "tiny.eab"
    # For TFLite, which takes seconds: on a busy machine all would be over before the signal comes.
    process = start(
        temporary, "compile", tiny_onnx(), "--frames", photos, "-o", out, "--backend", "tflite"
    )
    assert process.stderr is not None
    assert process.stderr.readline()  # the first stage is done
    process.send_signal(signal.SIGINT)
    assert "Interrupted" in ends(process, 130)
    assert left_in(temporary) == []
    assert not out.exists()
    assert not list(tmp_path.rglob(".partial-*"))


def test_making_a_dataset_is_stopped_and_gone_on_with(temporary: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    make = ("dataset", "make", "-o", out, "--moments", 2, "--puppets")
    process = start(temporary, *make, 5000)
    # A folder that is not finished has another name, and may have gone when it is looked into.
    sequences = out / "sequences"
    wait_until(lambda: sequences.is_dir() and len(list(sequences.iterdir())) > 2, process)
    process.send_signal(signal.SIGINT)
    assert "are kept" in ends(process, 130)
    assert left_in(temporary) == []
    kept = {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*.npz"))[:2]}
    ends(start(temporary, *make, 2), 0)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.slow
def test_a_prune_that_is_stopped_leaves_nothing(
    tiny_onnx: Callable[..., Path], photos: Path, temporary: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pruned"
    process = start(
        temporary, "prune", tiny_onnx(), "--calib", photos, "--ratio", 0.3, "--steps", 100_000,
        "-o", out,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert "Interrupted" in ends(process, 130)
    assert left_in(temporary) == []
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_is_stopped_goes_on_from_its_checkpoint(
    temporary: Path, tmp_path: Path, workers: int
) -> None:
    import tomli_w

    from edgeanim.core.parsing import to_plain
    from edgeanim.models.config import AnimatorConfig
    from edgeanim.models.training.config import DataConfig, Phase, TrainConfig

    tiny = AnimatorConfig(
        "tiny", 64, regions=(8, 8, 16, 16, 16), encoder=(8, 16, 16), generator=(8, 16, 16)
    )
    config = TrainConfig(
        model=tiny,
        data=DataConfig(puppets=2, moments=2),
        regions=(Phase(30, batch=2, sizes=(64,)),),
        generator=(Phase(2, batch=2, sizes=(64,)),),
        checkpoint_every=4,
    )
    file, out = tmp_path / "tiny.toml", tmp_path / "run"
    file.write_text(tomli_w.dumps(to_plain(config)))
    process = start(temporary, "train", file, "-o", out, "--workers", workers)
    wait_until((out / "losses.csv").is_file, process)
    drawing = psutil.Process(process.pid).children()
    assert len(drawing) >= workers
    process.send_signal(signal.SIGINT)
    ends(process, 130)
    assert not psutil.wait_procs(drawing, timeout=20)[1]
    assert left_in(temporary) == []
    assert not list(tmp_path.rglob(".partial-*"))
    before = (out / "losses.csv").read_text()
    ends(start(temporary, "train", file, "-o", out), 0)
    after = (out / "losses.csv").read_text()
    assert after.startswith(before)
    told = [tuple(line.split(",")[:2]) for line in after.splitlines()[1:]]  # step and term
    assert len(set(told)) == len(told)
    assert (out / "animator.safetensors").is_file()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "kill", "hang-up"]
)
def test_what_loops_is_asked_to_end_and_what_was_made_is_kept(
    bundle: Path, photos: Path, temporary: Path, tmp_path: Path, number: signal.Signals
) -> None:
    from edgeanim.runtime.media import read_frames

    out = tmp_path / "looped.gif"
    process = start(temporary, "animate", bundle, "--drive", photos, "--loop", "-o", out)
    # A round of eight frames takes 23 kB, however long a busy machine takes for it.
    wait_until(lambda: sum(p.stat().st_size for p in tmp_path.glob(".partial-*")) > 60_000, process)
    process.send_signal(number)
    assert "Ctrl-C ends it" in ends(process, 0)
    assert len(list(read_frames(out))) > 8
    assert left_in(temporary) == []


def test_what_is_only_shown_ends_at_a_kill_even_if_nobody_looks(
    bundle: Path, photos: Path, temporary: Path
) -> None:
    with start(temporary, "animate", bundle, "--drive", photos, "--loop", "-o", "-") as process:
        assert process.stdout is not None
        assert process.stdout.buffer.read(9) == b"YUV4MPEG2"
        time.sleep(1)  # until the pipe is full; else it would not be waited for
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert left_in(temporary) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_what_waits_for_a_pipe_is_asked_to_end_and_what_was_made_is_kept(
    bundle: Path, temporary: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The pipe stays open, as that of a camera whose network is gone."""
    from edgeanim.runtime.media import read_frames
    from edgeanim.runtime.media.y4m import write_stream

    out = tmp_path / "piped.gif"
    process = start(temporary, "animate", bundle, "--drive", "-", "-o", out, stdin=subprocess.PIPE)
    assert process.stdin is not None
    noise = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8)
    write_stream(process.stdin.buffer, noise, 25)
    process.stdin.flush()
    wait_until(lambda: sum(p.stat().st_size for p in tmp_path.glob(".partial-*")) > 0, process)
    process.send_signal(number)
    process.wait(60)
    assert "Ctrl-C ends it" in ends(process, 0)
    assert 1 <= len(list(read_frames(out))) <= len(noise)
    assert left_in(temporary) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "kill"]
)
def test_what_is_asked_to_end_before_anything_has_come_through_a_pipe_is_interrupted(
    bundle: Path, temporary: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "piped.gif"
    process = start(temporary, "animate", bundle, "--drive", "-", "-o", out, stdin=subprocess.PIPE)
    assert process.stderr is not None
    assert "Ctrl-C ends it" in process.stderr.readline()
    time.sleep(0.5)  # to come to the pipe; else it is interrupted before
    process.send_signal(number)
    process.wait(60)
    assert ("Interrupted" in ends(process, code)) is (number == signal.SIGINT)
    assert list(tmp_path.iterdir()) == []
