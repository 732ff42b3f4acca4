"""The course of a bench: rounds of fresh processes, and in each round blocks of frames in turn.

Only one worker plays at a time; the others wait blocked. The order of the variants is reversed from
block to block, so that none always runs after the same neighbour. Profile and memory have passes of
their own, since both disturb the clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from edgeanim.benchmarks.process import Crew, WorkerFailed, WorkerProcess
from edgeanim.benchmarks.protocol import (
    Block,
    Done,
    Job,
    Profiled,
    Ready,
    Request,
    Warm,
)
from edgeanim.benchmarks.result import Failure, GraphProfile, Memory, ProcessSamples
from edgeanim.core.errors import UsageError
from edgeanim.core.progress import Progress

Reply = TypeVar("Reply")

_PROFILED_FRAMES = 20
_MEMORY_FRAMES = 20


@dataclass(frozen=True)
class BenchOptions:
    """How thoroughly to measure. `iterations` is the least number of timed frames of a variant,
    spread over `rounds` processes of `blocks` blocks; a block also lasts at least `block_s`."""

    threads: int = 1
    iterations: int = 96
    rounds: int = 3
    blocks: int = 4
    block_s: float = 0.25
    warmup_frames: int = 10
    warmup_s: float = 1.0
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        for name in ("threads", "iterations", "rounds", "blocks", "warmup_frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', ' ')} must be at least 1.")
        for name in ("block_s", "warmup_s", "timeout_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be a number of seconds, not negative.")

    @property
    def block_frames(self) -> int:
        """Frames of a block, so that all blocks together reach `iterations`."""
        return -(-self.iterations // (self.rounds * self.blocks))

    def quick(self) -> BenchOptions:
        """As fast as a p90 allows: the fewest samples, short blocks, a short warm-up."""
        return replace(self, iterations=66, blocks=2, block_s=0.0, warmup_s=0.2)


@dataclass
class Course:
    """What was gathered of one variant."""

    job: Job
    samples: list[ProcessSamples] = field(default_factory=list)
    backend_version: str | None = None
    frames: Path | None = None
    profiles: Mapping[str, GraphProfile] | None = None
    memory: Memory | None = None
    failure: Failure | None = None


@dataclass
class _Running:
    """A variant's process of this round."""

    name: str
    worker: WorkerProcess
    ready: Ready | None = None
    warm: Warm | None = None
    blocks: list[Block] = field(default_factory=list)


class Schedule:
    """Runs all variants' courses. `after_round` is called between rounds, when nothing is timed."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        options: BenchOptions,
        crew: Crew,
        folder: Path,
        progress: Progress,
        after_round: Callable[[], None] = lambda: None,
    ) -> None:
        self.courses = {name: Course(job) for name, job in jobs.items()}
        self._options = options
        self._crew = crew
        self._folder = folder
        self._progress = progress
        self._after_round = after_round

    def run(self) -> Mapping[str, Course]:
        """All rounds, then the passes. A variant that fails is left out of what follows."""
        options, progress = self._options, self._progress
        progress.stage("Measure", len(self.courses) * (options.rounds * (options.blocks + 1) + 2))
        for number in range(options.rounds):
            self._round(number)
            self._after_round()
        self._pass("profile", self._profile)
        self._pass("memory", self._memory)
        progress.done()
        return self.courses

    def _round(self, number: int) -> None:
        options = self._options
        running = [_Running(n, self._crew.hire(c.job)) for n, c in self._alive()]
        for entry in running:
            self._try(entry, lambda e: self._get_ready(e, number))
        for block in range(options.blocks):
            for entry in running if block % 2 == 0 else reversed(running):
                self._try(entry, lambda e: self._block(e, number))
        for entry in running:
            if number == 0:
                self._try(entry, self._render)
            self._crew.dismiss(entry.worker)
            self._keep(entry, number)

    def _get_ready(self, entry: _Running, number: int) -> None:
        entry.ready = entry.worker.receive(Ready)
        options = self._options
        request = Request("warm", options.warmup_frames, options.warmup_s)
        entry.warm = entry.worker.ask(request, Warm)
        self._progress.step(note=f"{entry.name}, round {number + 1}, warm")

    def _block(self, entry: _Running, number: int) -> None:
        request = Request("block", self._options.block_frames, self._options.block_s)
        entry.blocks.append(entry.worker.ask(request, Block))
        self._progress.step(note=f"{entry.name}, round {number + 1}")

    def _render(self, entry: _Running) -> None:
        path = self._folder / f"{len(list(self._folder.glob('*.npy')))}.npy"
        entry.worker.ask(Request("render", path=path), Done)
        self.courses[entry.name].frames = path

    def _keep(self, entry: _Running, number: int) -> None:
        course = self.courses[entry.name]
        if course.failure or entry.ready is None or entry.warm is None:
            return
        course.backend_version = entry.ready.backend_version
        course.samples.append(
            ProcessSamples(
                round=number,
                load_ms=entry.ready.load_ms,
                first_frame_ms=entry.warm.first_frame_ms,
                blocks_ms=tuple(block.total_ms for block in entry.blocks),
                stages_ms={
                    stage: tuple(
                        t for block in entry.blocks for t in block.stages_ms.get(stage, ())
                    )
                    for stage in (entry.blocks[0].stages_ms if entry.blocks else {})
                },
            )
        )

    def _pass(self, title: str, gather: Callable[[_Running], None]) -> None:
        """One more process per variant, as many at once as there are cores for."""
        at_once = max(1, len(os.sched_getaffinity(0)) // self._options.threads)
        alive = self._alive()
        for start in range(0, len(alive), at_once):
            group = [
                _Running(name, self._crew.hire(replace(course.job, profile=title == "profile")))
                for name, course in alive[start : start + at_once]
            ]
            for entry in group:
                self._try(entry, gather)
                self._crew.dismiss(entry.worker)
                self._progress.step(note=f"{entry.name}, {title}")

    def _profile(self, entry: _Running) -> None:
        reply = self._after_loading(entry, Request("profile", _PROFILED_FRAMES), Profiled)
        self.courses[entry.name].profiles = reply.graphs

    def _memory(self, entry: _Running) -> None:
        reply = self._after_loading(entry, Request("memory", _MEMORY_FRAMES), Memory)
        self.courses[entry.name].memory = reply

    @staticmethod
    def _after_loading(entry: _Running, request: Request, kind: type[Reply]) -> Reply:
        entry.worker.receive(Ready)
        return entry.worker.ask(request, kind)

    def _alive(self) -> Sequence[tuple[str, Course]]:
        return [(name, course) for name, course in self.courses.items() if not course.failure]

    def _try(self, entry: _Running, step: Callable[[_Running], None]) -> None:
        course = self.courses[entry.name]
        if course.failure:
            return
        try:
            step(entry)
        except WorkerFailed as error:
            course.failure = error.failure
