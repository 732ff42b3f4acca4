"""`run_bench`: measure variants of one model side by side and report on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeanim import __version__
from edgeanim.benchmarks.drift.frames import Drift, measure_drift
from edgeanim.benchmarks.drift.picture import save_worst
from edgeanim.benchmarks.drift.regions import Regions, region_graph, region_names
from edgeanim.benchmarks.drift.similarity import must_hold_window
from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.machine.governor import governed
from edgeanim.benchmarks.machine.watch import Watch
from edgeanim.benchmarks.options import BenchOptions
from edgeanim.benchmarks.results.assemble import assemble
from edgeanim.benchmarks.results.result import (
    CREATED,
    SCHEMA,
    BoardRecord,
    Failure,
    FramesRecord,
    ModelRecord,
    Report,
    Settings,
)
from edgeanim.benchmarks.schema import check_limits
from edgeanim.benchmarks.timing.process import WorkerFailed, WorkerPool, WorkerProcess
from edgeanim.benchmarks.timing.protocol import Done, Job, Ready, Request
from edgeanim.benchmarks.timing.schedule import Measurements, Schedule
from edgeanim.core.artifact import FLOAT32, CompiledGraph, Precision
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput, EdgeanimError, UsageError
from edgeanim.core.files import canonical_json, sha256_bytes
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.scratch import scratch_folder
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.scene import Scene
from edgeanim.targets.board import Board
from edgeanim.targets.overflow import overflow_warning, overflows

if TYPE_CHECKING:
    from edgeanim.targets.bundle import Bundle, Variant

__all__ = ["BenchOptions", "Subject", "record_of", "run_bench", "scene_digest", "subjects_of"]


@dataclass(frozen=True)
class Subject:
    """One variant to measure: the compiled graphs of `contract` for one backend and precision.

    `threads` is its own number of them, where it is not that of the run."""

    id: str
    contract: Contract
    graphs: tuple[CompiledGraph, ...]
    threads: int | None = None

    @property
    def backend(self) -> str:
        """The name of the backend that its graphs are compiled for."""
        return self.graphs[0].backend

    @property
    def precision(self) -> Precision:
        """`int8` if any graph is."""
        found = {graph.precision for graph in self.graphs}
        return "int8" if "int8" in found else self.graphs[0].precision


def subjects_of(contract: Contract, variants: Iterable[Variant]) -> tuple[Subject, ...]:
    """The variants of a bundle, or a prebuilt one, as subjects."""
    return tuple(Subject(variant.id, contract, tuple(variant.graphs)) for variant in variants)


def record_of(bundle: Bundle) -> ModelRecord:
    """Which model a bundle is of; one that does not say so is itself what tells it from others."""
    digest = str(bundle.provenance.get("model", bundle.sha256))
    return ModelRecord(bundle.contract.name, digest, bundle.sha256)


def run_bench(
    subjects: Sequence[Subject],
    golden: Path,
    options: BenchOptions | None = None,
    *,
    model: ModelRecord,
    board: Board,
    pictures: Path | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Measure `subjects` on this machine, interleaved, playing the scene of the file `golden`.

    Latency, drift against the golden frames, executed precision and memory, each subject in
    processes of its own. A subject that fails is reported with its diagnosis and the others go on
    (`Report.exit_code`). A model that finds regions in a picture has its drift by region, too. The
    worst frame of each is saved into the folder `pictures`. The board's affinity and governor are
    set where that is allowed. `UsageError` for no subject or equal ids, `BadInput` for the golden
    file, or frames that are too small to compare.
    """
    options = options or BenchOptions()
    _check(subjects)
    # It may come out of a stranger's bundle: refuse now what would make the report unreadable.
    check_limits(model, where="the model's record")
    reference = load_golden(golden)
    must_hold_window(reference.frames[0])
    with (
        governed(board.governor) as remarks,
        Watch(board.sensors) as watch,
        scratch_folder("bench") as scratch,
        WorkerPool(scratch, partial(WorkerProcess, timeout=options.timeout_s)) as pool,
    ):
        environment = describe()
        folder = scratch / "frames"
        folder.mkdir()
        jobs = {subject.id: _job(subject, golden, options, board) for subject in subjects}
        rate = options.rate_fps or 1e3 / board.latency_budget_ms
        schedule = Schedule(
            jobs,
            options,
            pool,
            folder,
            progress,
            watch.look,
            rate_fps=rate,
            before_soak=watch.let_it_warm,
        )
        measurements = schedule.run()
        regions: Regions | None = None
        if not options.times_only:
            regions, unknown = _regions(subjects, measurements, pool, folder)
            remarks += unknown
        remarks += tuple(overflow_warning(s.id) for s in subjects if overflows(s.graphs, board))
        watch.end()
        drifts, unsaved = _drifts(measurements, reference.frames, regions, pictures)
        remarks += unsaved
    return Report(
        schema=SCHEMA,
        edgeanim=__version__,
        created=datetime.now(timezone.utc).strftime(CREATED),
        duration_s=watch.duration_s,
        model=model,
        frames=_frames_record(reference.scene, reference.frames),
        board=BoardRecord(board.name, board.title, board.latency_budget_ms, board.arch),
        settings=_settings(options, board, measurements, remarks),
        variants=assemble(
            {s.id: (s.backend, s.precision, measurements[s.id]) for s in subjects},
            drifts,
            rate_fps=rate,
        ),
        environment=environment,
        sensors=watch.logs(),
        validity=watch.validity(),
    )


def scene_digest(scene: Scene) -> str:
    """Hex SHA-256 over all that a scene shows a model: equal for equal inputs of any model."""
    arrays: dict[str, NDArray[np.generic]] = {}
    if scene.still is not None:
        arrays["still"] = scene.still
    if scene.driver is not None:
        arrays["driver"] = np.asarray(scene.driver)
    if scene.track is not None:
        arrays["track"] = scene.track.values
    arrays |= {f"condition:{name}": values for name, values in scene.conditions.items()}
    record = {
        name: [str(a.dtype), list(a.shape), sha256_bytes(np.ascontiguousarray(a).tobytes())]
        for name, a in arrays.items()
    }
    return sha256_bytes(canonical_json(record).encode())


def _check(subjects: Sequence[Subject]) -> None:
    if not subjects:
        raise UsageError("There is no variant to measure.")
    ids = [subject.id for subject in subjects]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise UsageError(f"Two variants are called {twice[0]!r}.", hint="Bench one at a time.")
    if empty := [subject.id for subject in subjects if not subject.graphs]:
        raise BadInput(f"The variant {empty[0]!r} has no graph.")


def _job(subject: Subject, golden: Path, options: BenchOptions, board: Board) -> Job:
    return Job(
        contract=subject.contract,
        graphs=subject.graphs,
        golden=golden.resolve(),
        threads=subject.threads or options.threads,
        profile=False,
        settings=board.backend(subject.backend).settings,
        affinity=tuple(sorted(board.affinity)),
    )


def _regions(
    subjects: Sequence[Subject],
    measurements: Mapping[str, Measurements],
    pool: WorkerPool,
    folder: Path,
) -> tuple[Regions | None, tuple[str, ...]]:
    """The regions of the reference's frames, as the first float32 variant sees them (or the first
    of any, without one), and a remark if it cannot; nothing for a model that finds no regions."""
    able = [s for s in subjects if region_graph(s.contract) and not measurements[s.id].failure]
    if not able:
        return None, ()
    finder = min(able, key=lambda subject: subject.precision != FLOAT32)
    path = folder / "masks.npy"
    try:
        worker = pool.start(measurements[finder.id].job)
        worker.receive(Ready)
        worker.ask(Request("masks", path=path), Done)
        pool.stop(worker)
    except WorkerFailed as error:
        return None, (f"drift by region is not known: {error.failure.message}",)
    masks = np.load(path, allow_pickle=False)
    graph = region_graph(finder.contract)
    assert graph is not None  # it is able
    picture = graph.inputs[0].size
    return Regions(region_names(finder.contract, masks.shape[1]), masks, picture), ()


def _drifts(
    measurements: Mapping[str, Measurements],
    reference: NDArray[np.uint8],
    regions: Regions | None,
    pictures: Path | None,
) -> tuple[dict[str, Drift | None], tuple[str, ...]]:
    """Each variant's drift, and a remark if a worst frame could not be saved: a disk that is full
    must not cost what took minutes to measure."""
    drifts: dict[str, Drift | None] = {}
    unsaved: list[str] = []
    for number, (name, measured) in enumerate(measurements.items(), start=1):
        drifts[name] = None
        if measured.failure or measured.frames is None:
            continue
        try:
            frames = np.load(measured.frames, allow_pickle=False)
            drift = drifts[name] = measure_drift(frames, reference, regions)
        except BadInput as error:
            measured.failure = Failure.of(error)
            continue
        if pictures is not None:
            worst = drift.worst_frame
            try:
                measured.picture = save_worst(pictures, number, name, frames, reference, worst)
            except EdgeanimError as error:
                unsaved.append(f"a worst frame could not be saved: {error.what.rstrip('.')}")
    return drifts, tuple(dict.fromkeys(unsaved))


def _frames_record(scene: Scene, frames: NDArray[np.uint8]) -> FramesRecord:
    count, height, width = frames.shape[:3]
    return FramesRecord(scene_digest(scene), count, height, width)


def _settings(
    options: BenchOptions,
    board: Board,
    measurements: Mapping[str, Measurements],
    remarks: tuple[str, ...],
) -> Settings:
    processes = [process for measured in measurements.values() for process in measured.samples]
    bound = {core for process in processes for core in process.affinity}
    if not all(process.affinity for process in processes):
        remarks += ("the processes could not be bound to cores: some may have had better ones",)
    elif board.affinity and not bound <= set(board.affinity):
        remarks += (f"the processes could not be bound to the cores {list(board.affinity)}",)
    crowded = {
        (measured.job.threads, len(process.affinity))
        for measured in measurements.values()
        for process in measured.samples
        if 0 < len(process.affinity) < measured.job.threads
    }
    remarks += tuple(
        f"{threads} threads shared {cores} core{'s' if cores > 1 else ''}"
        for threads, cores in sorted(crowded)
    )
    return Settings(
        threads=options.threads,
        rounds=options.rounds,
        blocks=options.blocks,
        block_frames=options.block_frames,
        block_s=options.block_s,
        warmup_frames=options.warmup_frames,
        warmup_s=options.warmup_s,
        scenarios=tuple(dict.fromkeys(options.scenarios)),
        affinity=tuple(sorted(bound)),
        remarks=remarks,
    )
