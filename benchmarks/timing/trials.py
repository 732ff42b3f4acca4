"""How the scenarios beside `single` are run: fresh processes, and only one plays at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeanim.benchmarks.timing.playback import OPENING_FRAMES
from edgeanim.benchmarks.timing.process import WorkerPool, WorkerProcess
from edgeanim.benchmarks.timing.protocol import (
    BatchRun,
    Done,
    First,
    Job,
    Ready,
    Request,
    Streamed,
    Warm,
    Window,
)
from edgeanim.benchmarks.timing.scenarios import ColdStart, SoakWindow

# A soak plays its scene this long before it opens it anew, whatever the scene's own length.
_SOAK_FRAMES = 1000
_WINDOWS = 12
_LONGEST_WINDOW_S = 10.0


@dataclass(frozen=True)
class Plan:
    """How thoroughly to run them. `stream_frames` and `batch_frames` are those of one process."""

    rate_fps: float
    stream_frames: int
    batch_frames: int
    soak_s: float
    warmup_frames: int
    warmup_s: float

    @property
    def windows(self) -> int:
        """Into how many parts a soak is cut."""
        return max(_WINDOWS, math.ceil(self.soak_s / _LONGEST_WINDOW_S))


class Trials:
    """One method per scenario; `after_window` is called where nothing is timed."""

    def __init__(
        self,
        pool: WorkerPool,
        plan: Plan,
        folder: Path,
        *,
        after_window: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._plan = plan
        self._folder = folder
        self._after_window = after_window
        self._clips = 0

    def stream(self, job: Job) -> tuple[float, ...]:
        """A fresh process at the plan's fixed rate: response times in ms."""
        plan = self._plan
        worker, frame_s = self._start_warm(job, plan.stream_frames + OPENING_FRAMES)
        request = Request("stream", plan.stream_frames, rate_fps=plan.rate_fps)
        # Frames that come faster than they can be played queue up: that is no worker that hangs.
        expected = plan.stream_frames * max(1 / plan.rate_fps, frame_s)
        responses = worker.ask(request, Streamed, busy_s=expected).responses_ms
        self._pool.stop(worker)
        return responses

    def cold(self, job: Job) -> ColdStart:
        """From the start of a fresh process to its first frame."""
        worker = self._pool.start(job)
        ready = worker.receive(Ready)
        first = worker.ask(Request("first"), First)
        self._pool.stop(worker)
        began = worker.started_ns
        return ColdStart(
            start_ms=(first.began_ns - began) / 1e6,
            load_ms=ready.load_ms,
            total_ms=(first.finished_ns - began) / 1e6,
        )

    def batch(self, job: Job) -> BatchRun:
        """A clip, rendered by a fresh process."""
        worker = self._pool.start(job)
        worker.receive(Ready)
        self._clips += 1
        folder = self._folder / f"clip-{self._clips}"
        folder.mkdir(parents=True)
        run = worker.ask(Request("batch", self._plan.batch_frames, path=folder), BatchRun)
        self._pool.stop(worker)
        return run

    def soak(self, job: Job) -> Sequence[SoakWindow]:
        """One process that plays for the plan's time, in windows; its memory is read from outside
        between them."""
        plan = self._plan
        worker, _ = self._start_warm(job, _SOAK_FRAMES)
        windows: list[SoakWindow] = []
        seconds = plan.soak_s / plan.windows
        began = time.monotonic()
        # One window alone would say nothing of growth, however slowly it came.
        while len(windows) < 2 or time.monotonic() - began < plan.soak_s - seconds / 2:
            window = worker.ask(Request("window", 1, seconds), Window, busy_s=seconds)
            at_s = time.monotonic() - began
            windows.append(_window(at_s, window, worker))
            self._after_window(f"{at_s:.0f} of {plan.soak_s:.0f} s")
        self._pool.stop(worker)
        return windows

    def _start_warm(self, job: Job, frames: int) -> tuple[WorkerProcess, float]:
        """A worker that has warmed up on its scene, `frames` long, and the seconds that a frame
        took it meanwhile."""
        worker = self._pool.start(job)
        worker.receive(Ready)
        worker.ask(Request("lengthen", frames), Done)
        began = time.monotonic()
        warm = worker.ask(Request("warm", self._plan.warmup_frames, self._plan.warmup_s), Warm)
        return worker, (time.monotonic() - began) / warm.frames


def _window(at_s: float, window: Window, worker: WorkerProcess) -> SoakWindow:
    return SoakWindow(at_s, window.frames, window.p50_ms, window.p90_ms, worker.resident_mb())
