"""The process that is measured: loads one variant and plays, times or profiles it when asked.

Started afresh by `benchmarks.timing.process` for every round. It imports the runtime of its
variant and nothing of compression or training. Between requests it waits blocked in a read.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgeanim.benchmarks.drift.regions import find_masks, region_graph
from edgeanim.benchmarks.results.result import ExecutedOp, GraphProfile
from edgeanim.benchmarks.timing.playback import Playback, lengthened, render_clip, stream
from edgeanim.benchmarks.timing.protocol import (
    BatchRun,
    Block,
    Done,
    Error,
    First,
    Job,
    Memory,
    Profiled,
    Ready,
    Reply,
    Request,
    Streamed,
    Warm,
    Window,
    reply_line,
)
from edgeanim.benchmarks.timing.stats import median, percentile
from edgeanim.core.errors import BadInput, EdgeanimError, is_full, memory_errors
from edgeanim.core.files import atomic_path
from edgeanim.core.parsing import parse, parse_json
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.player import Player
from edgeanim.targets.backends import Backend, OpProfile, Session, SessionOptions, get_backend

_NAME = "bench worker"
# All imports are done when this line runs; whatever comes before counts as starting.
_BEGAN_NS = time.monotonic_ns()


class Worker:
    """One variant, loaded; answers requests."""

    def __init__(self, job: Job) -> None:
        _limit_threads(job.threads)
        self.affinity = _bind(job.affinity)
        # Only the scene stays: the golden frames would count as this process's memory.
        golden = load_golden(job.golden)
        scene, self._golden_frames = golden.scene, len(golden.frames)
        del golden
        _reset_peak_memory()
        self.backend: Backend = get_backend(job.graphs[0].backend)
        options = SessionOptions(job.threads, job.profile, job.settings)
        began = time.perf_counter_ns()
        self.sessions: dict[str, Session] = {
            graph.spec.name: self.backend.load(graph, options) for graph in job.graphs
        }
        self.load_ms = (time.perf_counter_ns() - began) / 1e6
        self.scene = scene
        self._golden, self._contract = job.golden, job.contract
        self.player = Player(job.contract, self.sessions)
        self.playback = Playback(self.player, scene)

    def ready(self) -> Ready:
        return Ready(self.load_ms, self.backend.available().version, self.affinity)

    def answer(self, request: Request) -> Reply:
        # Every word that a request can ask for is the name of the method that does it.
        reply: Reply = getattr(self, request.ask)(request)
        return reply

    def first(self, request: Request) -> First:  # noqa: ARG002
        next(self.player.play(self.scene))
        return First(_BEGAN_NS, time.monotonic_ns())

    def lengthen(self, request: Request) -> Done:
        self.playback = Playback(self.player, lengthened(self.scene, request.frames))
        return Done(0)

    def stream(self, request: Request) -> Streamed:
        return Streamed(stream(self.playback, request.rate_fps, request.frames))

    def batch(self, request: Request) -> BatchRun:
        assert request.path is not None
        return render_clip(self.player, self.scene, request.frames, request.path)

    def warm(self, request: Request) -> Warm:
        frames = len(self.block(request).total_ms)
        # What start-up left behind is no garbage to be searched during the timed frames.
        gc.collect()
        gc.freeze()
        return Warm(frames, self.playback.first_frame_ms or 0.0)

    def block(self, request: Request) -> Block:
        totals: list[float] = []
        stages: dict[str, list[float]] = {}
        end = time.perf_counter() + request.seconds
        while len(totals) < request.frames or time.perf_counter() < end:
            total, timings = self.playback.steady_frame()
            totals.append(total * 1e3)
            for stage, seconds in timings.items():
                stages.setdefault(stage, []).append(seconds * 1e3)
        return Block(tuple(totals), {stage: tuple(times) for stage, times in stages.items()})

    def window(self, request: Request) -> Window:
        totals = array("d")
        end = time.perf_counter() + request.seconds
        while len(totals) < request.frames or time.perf_counter() < end:
            totals.append(self.playback.steady_frame()[0] * 1e3)
        return Window(len(totals), median(totals), percentile(totals, 90))

    def render(self, request: Request) -> Done:
        assert request.path is not None
        frames = np.stack(list(islice(self.player.play(self.scene), self._golden_frames)))
        with atomic_path(request.path) as partial:
            np.save(partial, frames)
        return Done(len(frames))

    def masks(self, request: Request) -> Done:
        assert request.path is not None
        graph = region_graph(self._contract)
        if graph is None:
            raise BadInput("This model finds no regions.")
        frames = load_golden(self._golden).frames
        with atomic_path(request.path) as partial:
            np.save(partial, find_masks(graph, self.sessions[graph.name], frames))
        return Done(len(frames))

    def profile(self, request: Request) -> Profiled:
        self.block(request)
        profiles = {
            name: self.backend.executed_precision(session)
            for name, session in self.sessions.items()
        }
        return Profiled({name: _recorded(profile) for name, profile in profiles.items()})

    def memory(self, request: Request) -> Memory:
        self.block(request)
        return read_memory(Path("/proc/self"))


def read_memory(process: Path) -> Memory:
    """Peak and present memory of a process from its folder below /proc, in MiB."""
    status = _kilobytes(process / "status")
    if "VmHWM" not in status:
        raise BadInput("The kernel does not tell the peak memory.", where=process / "status")
    try:
        rollup = _kilobytes(process / "smaps_rollup")
    except OSError:
        rollup = {}
    uss = rollup.get("Private_Clean", 0.0) + rollup.get("Private_Dirty", 0.0)
    faults = (process / "stat").read_text().rpartition(")")[2].split()
    return Memory(
        peak_rss_mb=status["VmHWM"] / 1024,
        pss_mb=rollup["Pss"] / 1024 if "Pss" in rollup else None,
        uss_mb=uss / 1024 if "Private_Dirty" in rollup else None,
        major_faults=int(faults[9]),
    )


def _kilobytes(path: Path) -> dict[str, float]:
    found = re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    return {name: float(size) for name, size in found}


def _recorded(profile: OpProfile) -> GraphProfile:
    return GraphProfile(
        basis=profile.basis,
        int8_share=profile.int8,
        float_share=profile.float_,
        convert_share=profile.convert,
        layout_share=profile.layout,
        detail=profile.detail,
        ops=tuple(
            ExecutedOp(row.op, row.precision, row.kind, row.count, row.share) for row in profile.ops
        ),
    )


def _limit_threads(threads: int) -> None:
    """Picture work outside the graphs keeps to the same number of threads."""
    import cv2

    cv2.setNumThreads(threads)


def _bind(cores: Sequence[int]) -> tuple[int, ...]:
    """Keep this process to `cores`; the cores that it is now bound to, none where that is not
    allowed."""
    if not cores:
        return ()
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return ()
    return tuple(sorted(os.sched_getaffinity(0)))


def _reset_peak_memory() -> None:
    """Let VmHWM start from here (proc(5), clear_refs); without leave it includes the loading."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _serve(requests: BinaryIO, answers: BinaryIO, make: Callable[[Job], Worker]) -> None:
    def say(message: Reply) -> None:
        answers.write(reply_line(message))
        answers.flush()

    try:
        with memory_errors("There is not enough memory."):
            first = requests.readline()
            if not first:
                return
            worker = make(parse(Job, parse_json(first.decode(), where=_NAME), where=_NAME))
            say(worker.ready())
            for text in requests:
                request = parse(Request, parse_json(text.decode(), where=_NAME), where=_NAME)
                say(worker.answer(request))
    except EdgeanimError as error:
        full = is_full(error.__cause__)
        say(Error(type(error).__name__, error.exit_code, str(error), full))


def main(make: Callable[[Job], Worker] | None = None) -> None:
    """Serve the parent on the pipes that are our standard input and output, by the worker that
    `make` gives, or a plain one."""
    # Runtimes print to standard output from native code: give the protocol a pipe of its own.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _serve(sys.stdin.buffer, answers, make or Worker)
        answers.close()
    except BrokenPipeError:
        # The parent is gone, and whoever would read this with it.
        os._exit(1)


if __name__ == "__main__":
    main()
