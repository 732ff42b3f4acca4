"""Plain timing loops, as anyone would write them, for the harness to be held against."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edgeanim.benchmarks.timing.protocol import Job, Request
from edgeanim.benchmarks.timing.worker import Worker
from edgeanim.core.artifact import Array, CompiledGraph, relayout
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.quiet import quiet
from edgeanim.runtime.player import Player

_MEDIAN = re.compile(r"Median:\s+([\d.]+) ms")
_TOOL_SECONDS = 300


class LoopedGraph:
    """The graph that takes most of a frame of a variant, in this process, and its real inputs."""

    def __init__(self, job: Job) -> None:
        self.worker = Worker(job)
        stages = self.worker.block(Request("block", 12)).stages_ms
        costs = {name: sum(times) for name, times in stages.items() if name in self.worker.sessions}
        self.graph = max(costs, key=lambda name: costs[name])
        self.compiled = next(g for g in job.graphs if g.spec.name == self.graph)
        self.inputs = self._recorded(job)

    def harness(self, frames: int) -> tuple[float, ...]:
        """The graph's time (ms) in each of `frames` frames, by the harness."""
        return self.worker.block(Request("block", frames)).stages_ms[self.graph]

    def bare(self, frames: int) -> tuple[float, ...]:
        """The same session's own `run` in a loop."""
        session = self.worker.sessions[self.graph]
        return timed(lambda: session.run(self.inputs), frames)

    def _recorded(self, job: Job) -> dict[str, Array]:
        """What the graph is given in the scene's second frame, in its session's layout."""
        seen: list[Mapping[str, Array]] = []

        def record(name: str, inputs: Mapping[str, Array]) -> None:
            if name == self.graph:
                seen.append(inputs)

        frames = Player(job.contract, self.worker.sessions, record).play(self.worker.scene)
        for _ in range(2):
            next(frames)
        spec = self.worker.sessions[self.graph].spec
        asked = next(g for g in job.contract.graphs if g.name == self.graph)
        layouts = {tensor.name: tensor.layout for tensor in asked.inputs}
        return {
            tensor.name: relayout(seen[-1][tensor.name], layouts[tensor.name], tensor.layout)
            for tensor in spec.inputs
        }


def onnxruntime_loop(looped: LoopedGraph, threads: int) -> Callable[[int], tuple[float, ...]]:
    """ONNX Runtime alone on the same file, with the settings of its own `perf_test` but for the
    number of threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    path = str(looped.compiled.files[0])
    with quiet():
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = looped.compiled.bindings
    feed = {names.get(name, name): array for name, array in looped.inputs.items()}
    return lambda frames: timed(lambda: session.run(None, feed), frames)


def benchmark_app(graph: CompiledGraph, threads: int, frames: int) -> float:
    """The median (ms) of one run of OpenVINO's own tool on the same file; `DeviceFailed` if it
    gives none."""
    tool = Path(sys.executable).with_name("benchmark_app")
    asked = {"-m": graph.files[0], "-d": "CPU", "-api": "sync", "-hint": "none", "-nstreams": 1}
    asked |= {"-nthreads": threads, "-niter": frames, "-infer_precision": "f32"}
    try:
        done = subprocess.run(
            [str(tool), *(str(word) for option in asked.items() for word in option)],
            capture_output=True,
            text=True,
            timeout=_TOOL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceFailed(
            f"benchmark_app did not finish within {_TOOL_SECONDS:g} s.", where=tool
        ) from error
    found = _MEDIAN.search(done.stdout)
    if done.returncode != 0 or found is None:
        said = (done.stderr.strip() or done.stdout.strip())[-300:]
        raise DeviceFailed(f"benchmark_app gave no median: {said}", where=tool)
    return float(found[1])


def timed(run: Callable[[], object], frames: int) -> tuple[float, ...]:
    """Milliseconds of each of `frames` calls."""
    times = []
    for _ in range(frames):
        began = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - began) / 1e6)
    return tuple(times)
