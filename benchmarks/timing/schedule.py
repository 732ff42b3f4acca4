"""The course of a bench: rounds of fresh processes, and in each round blocks of frames in turn.

Only one worker plays at a time; the others wait blocked. The order of the variants is reversed from
block to block, so that none always runs after the same neighbour, and a round's workers share their
cores (`cores`). Profile and memory have passes of their own, since both disturb the clock; the
further scenarios (`trials`) come last.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgeanim.benchmarks.machine.cores import busy_shares, cores_of_round, fit_cores
from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.results.result import Failure, GraphProfile, Memory, ProcessSamples
from edgeanim.benchmarks.timing.process import WorkerFailed, WorkerPool, WorkerProcess
from edgeanim.benchmarks.timing.protocol import (
    Block,
    Done,
    Job,
    Profiled,
    Ready,
    Request,
    Warm,
)
from edgeanim.benchmarks.timing.scenarios import BatchRun, ColdStart, Scenario, SoakWindow
from edgeanim.benchmarks.timing.trials import Trials
from edgeanim.core.errors import disk_error
from edgeanim.core.progress import Progress

Reply = TypeVar("Reply")

_PROFILED_FRAMES = 20
_MEMORY_FRAMES = 20


@dataclass
class Measurements:
    """What was measured of one variant, raw."""

    job: Job
    samples: list[ProcessSamples] = field(default_factory=list)
    backend_version: str | None = None
    frames: Path | None = None
    picture: str | None = None
    profiles: Mapping[str, GraphProfile] | None = None
    memory: Memory | None = None
    streams: list[tuple[float, ...]] = field(default_factory=list)
    soak: list[SoakWindow] = field(default_factory=list)
    colds: list[ColdStart] = field(default_factory=list)
    batches: list[BatchRun] = field(default_factory=list)
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
    """Measures all variants, streams at `rate_fps`. `after_round` is called between rounds,
    when nothing is timed, `before_soak` before the soak, which comes last since it heats."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        options: BenchOptions,
        pool: WorkerPool,
        folder: Path,
        progress: Progress,
        after_round: Callable[[], None] = lambda: None,
        *,
        rate_fps: float,
        before_soak: Callable[[], None] = lambda: None,
    ) -> None:
        self.measurements = {name: Measurements(job) for name, job in jobs.items()}
        self._options = options
        self._pool = pool
        self._folder = folder
        self._progress = progress
        self._after_round = after_round
        self._before_soak = before_soak
        self._plan = options.plan(rate_fps)
        self._trials = Trials(pool, self._plan, folder, after_window=self._after_window)
        here = os.sched_getaffinity(0)
        self._fit = {job.affinity: fit_cores(job.affinity, here) for job in jobs.values()}

    def run(self) -> Mapping[str, Measurements]:
        """All rounds, then the passes. A variant that fails is left out of what follows; a full
        disk, which is no variant's failure, ends them: `DeviceFailed`."""
        options, progress = self._options, self._progress
        every = list(self.measurements)
        profiled = [n for n in every if not options.times_only or self._is_int8(n)]
        weighed = [] if options.times_only else every
        timed = len(every) * options.rounds * (options.blocks + 1)
        progress.stage("Measure", timed + len(profiled) + len(weighed))
        self.time()
        self._pass("profile", self._profile, profiled)
        self._pass("memory", self._memory, weighed)
        progress.done()
        for scenario in sorted(dict.fromkeys(options.scenarios), key=lambda s: s == "soak"):
            self._scenario(scenario)
        return self.measurements

    def time(self) -> Mapping[str, Measurements]:
        """The rounds alone."""
        for number in range(self._options.rounds):
            self._round(number)
            self._after_round()
        return self.measurements

    def _round(self, number: int) -> None:
        options = self._options
        busy = busy_shares()
        running = [
            _Running(name, self._pool.start(self._bound(measured.job, number, busy)))
            for name, measured in self._alive()
        ]
        for entry in running:
            self._try(entry, lambda e: self._get_ready(e, number))
        for block in range(options.blocks):
            for entry in running if block % 2 == 0 else reversed(running):
                self._try(entry, lambda e: self._block(e, number))
        for entry in running:
            if number == 0 and not options.times_only:
                self._try(entry, self._render)
            self._pool.stop(entry.worker)
            self._keep(entry, number)

    def _bound(self, job: Job, number: int, busy: Mapping[int, float]) -> Job:
        cores = cores_of_round(self._fit[job.affinity], job.threads, number, busy)
        return replace(job, affinity=cores)

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
        self.measurements[entry.name].frames = path

    def _keep(self, entry: _Running, number: int) -> None:
        measured = self.measurements[entry.name]
        if measured.failure or entry.ready is None or entry.warm is None:
            return
        measured.backend_version = entry.ready.backend_version
        measured.samples.append(
            ProcessSamples(
                round=number,
                affinity=entry.ready.affinity,
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

    def _scenario(self, scenario: Scenario) -> None:
        """All variants, in turn over several fresh processes each; a soak has one."""
        trials, rounds = self._trials, self._options.rounds
        known: Mapping[str, tuple[int, int, Callable[[Measurements], None]]] = {
            "stream": (rounds, 1, lambda c: c.streams.append(trials.stream(c.job))),
            "cold": (self._options.cold_starts, 1, lambda c: c.colds.append(trials.cold(c.job))),
            "batch": (rounds, 1, lambda c: c.batches.append(trials.batch(c.job))),
            "soak": (1, self._plan.windows, lambda c: c.soak.extend(trials.soak(c.job))),
        }
        if scenario not in known:
            return
        if scenario == "soak":
            self._before_soak()
        rounds, steps, run = known[scenario]
        self._progress.stage(scenario.capitalize(), len(self._alive()) * rounds * steps)
        for number in range(rounds):
            alive = self._alive()
            for name, measured in alive if number % 2 == 0 else reversed(alive):
                self._guard(measured, partial(run, measured))
                if steps == 1:
                    self._progress.step(note=f"{name}, {scenario} {number + 1}")
            self._after_round()
        self._progress.done()

    def _after_window(self, note: str) -> None:
        self._progress.step(note=note)
        self._after_round()

    def _pass(self, title: str, gather: Callable[[_Running], None], names: Collection[str]) -> None:
        """One more process for each variant of these, as many at once as there are cores for."""
        alive = [(name, measured) for name, measured in self._alive() if name in names]
        threads = max((measured.job.threads for _, measured in alive), default=1)
        at_once = max(1, len(os.sched_getaffinity(0)) // threads)
        for start in range(0, len(alive), at_once):
            group = [
                _Running(name, self._pool.start(replace(measured.job, profile=title == "profile")))
                for name, measured in alive[start : start + at_once]
            ]
            for entry in group:
                self._try(entry, gather)
                self._pool.stop(entry.worker)
                self._progress.step(note=f"{entry.name}, {title}")

    def _profile(self, entry: _Running) -> None:
        reply = self._after_loading(entry, Request("profile", _PROFILED_FRAMES), Profiled)
        self.measurements[entry.name].profiles = reply.graphs

    def _memory(self, entry: _Running) -> None:
        reply = self._after_loading(entry, Request("memory", _MEMORY_FRAMES), Memory)
        self.measurements[entry.name].memory = reply

    @staticmethod
    def _after_loading(entry: _Running, request: Request, kind: type[Reply]) -> Reply:
        entry.worker.receive(Ready)
        return entry.worker.ask(request, kind)

    def _is_int8(self, name: str) -> bool:
        return any(graph.precision == "int8" for graph in self.measurements[name].job.graphs)

    def _alive(self) -> Sequence[tuple[str, Measurements]]:
        return [
            (name, measured) for name, measured in self.measurements.items() if not measured.failure
        ]

    def _try(self, entry: _Running, step: Callable[[_Running], None]) -> None:
        self._guard(self.measurements[entry.name], lambda: step(entry))

    @staticmethod
    def _guard(measured: Measurements, step: Callable[[], None]) -> None:
        if measured.failure:
            return
        try:
            step()
        except WorkerFailed as error:
            if error.disk_full:
                full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                raise disk_error(full, Path(tempfile.gettempdir())) from full
            measured.failure = error.failure
