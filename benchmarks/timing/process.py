"""The parent's end of a worker: start it, ask it, and say what happened if it dies."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edgeanim.benchmarks.results.result import Failure
from edgeanim.benchmarks.timing.protocol import Error, Job, Request, request_line
from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.core.parsing import parse, parse_json
from edgeanim.core.threads import thread_settings

Kind = TypeVar("Kind")

MODULE = "edgeanim.benchmarks.timing.worker"
TIMEOUT_SECONDS = 600.0
_MAX_REPLY_BYTES = 64 << 20
_TAIL_LINES = 3
_LAST_SECONDS = 2.0
_SIGNALS = {
    signal.SIGILL: "it used an instruction that this CPU does not have: this build of the runtime "
    "is made for another one. Try another version of its package.",
    signal.SIGKILL: "it was killed, most likely because the memory ran out. Free some memory or "
    "bench fewer variants at once.",
    signal.SIGSEGV: "the runtime crashed (segmentation fault).",
    signal.SIGABRT: "the runtime gave up (abort).",
    signal.SIGBUS: "the runtime crashed (bus error); a file may have been cut short, or the disk "
    "is full.",
    signal.SIGFPE: "the runtime crashed (arithmetic error).",
}


class WorkerFailed(Exception):
    """A worker could not do what it was asked; `failure` is what the report says of it. That a
    `disk_full` was in its way says nothing of what it measures."""

    def __init__(self, failure: Failure, disk_full: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.disk_full = disk_full


class WorkerProcess:
    """A fresh process with one variant. `folder` is where it runs and leaves its error output.

    It runs in an empty folder, so that no file of the user's shadows a package, and in a session of
    its own, so that Ctrl-C reaches the parent alone, which then ends its workers. Its temporary
    files lie in that folder too: they go with it, however the worker ends.
    """

    def __init__(
        self,
        job: Job,
        folder: Path,
        *,
        timeout: float = TIMEOUT_SECONDS,
        command: tuple[str, ...] = (sys.executable, "-m", MODULE),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._timeout = timeout
        self._buffer = bytearray()
        self._errors = folder / "stderr.txt"
        own = thread_settings(job.threads) | {"TMPDIR": str(folder.resolve())}
        self.started_ns = time.monotonic_ns()
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=os.environ | own,
                start_new_session=True,
            )
        self._send(request_line(job))

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def resident_mb(self) -> float | None:
        """Its resident memory now, in MiB, read from outside; `None` where the kernel does not
        tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def ask(self, request: Request, kind: type[Kind], *, busy_s: float = 0.0) -> Kind:
        """Ask for one thing and wait for the answer; `WorkerFailed` if none comes in time.

        `busy_s` is for how long it is meant to be busy with that.
        """
        self.send(request)
        return self.receive(kind, busy_s=busy_s)

    def send(self, request: Request) -> None:
        """Ask without waiting."""
        self._send(request_line(request))

    def receive(self, kind: type[Kind], *, busy_s: float = 0.0) -> Kind:
        """The next answer, which must be a `kind`."""
        text = self._line(self._timeout + busy_s).decode(errors="replace")
        try:
            data = parse_json(text, where="its answer")
            if isinstance(data, dict) and "error" in data:
                error = parse(Error, data, where="its answer")
                failure = Failure(error.error, error.exit_code, error.message)
                raise WorkerFailed(failure, error.disk_full)
            return parse(kind, data, where="its answer")
        except BadInput as error:
            self.kill()
            raise WorkerFailed(_device_failed(f"it talked nonsense ({error})")) from error

    def close(self, *, patience: float = 5.0) -> None:
        """Let the worker end by itself, or end it."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def kill(self) -> None:
        """End the worker now, with whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        # A worker that has died says so when its answer is read.
        with suppress(BrokenPipeError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _line(self, patience: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + patience
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self.kill()
                raise WorkerFailed(_device_failed(f"it gave no answer for {patience:.0f} s."))
            piece = os.read(pipe, 1 << 16)
            if not piece:
                raise WorkerFailed(self._diagnosis())
            self._buffer += piece
            if len(self._buffer) > _MAX_REPLY_BYTES:
                self.kill()
                limit = f"{_MAX_REPLY_BYTES >> 20} MiB."
                raise WorkerFailed(_device_failed(f"its answer is longer than {limit}"))
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _diagnosis(self) -> Failure:
        """Why the pipe closed, from the exit status and the last words."""
        try:
            status = self._process.wait(timeout=_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return _device_failed("it closed its pipe without an answer.")
        if status < 0:
            known = {int(number): text for number, text in _SIGNALS.items()}
            return _device_failed(known.get(-status, f"it was ended by signal {-status}."))
        return _device_failed(f"it ended with exit status {status}: {self._last_words()}")

    def _last_words(self) -> str:
        text = self._errors.read_text(errors="replace").strip()
        return " | ".join(text.splitlines()[-_TAIL_LINES:]) or "it said nothing."


class WorkerPool:
    """The workers that are alive; whatever ends the block ends them too."""

    def __init__(self, folder: Path, start: Callable[[Job, Path], WorkerProcess] | None = None):
        self._folder = folder
        self._start = start if start is not None else WorkerProcess
        self._alive: list[WorkerProcess] = []
        self._count = 0

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in list(self._alive):
            if kind is not None:
                worker.kill()
            self.stop(worker)

    def start(self, job: Job) -> WorkerProcess:
        """Start a worker; it loads while others are started."""
        self._count += 1
        worker = self._start(job, self._folder / f"worker-{self._count}")
        self._alive.append(worker)
        return worker

    def stop(self, worker: WorkerProcess) -> None:
        """Let a worker end and wait for it."""
        self._alive.remove(worker)
        worker.close()


def _device_failed(reason: str) -> Failure:
    return Failure(
        "DeviceFailed",
        DeviceFailed.exit_code,
        f"The process that was measured did not finish: {reason}",
    )
