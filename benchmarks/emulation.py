"""A bundle on an emulated processor: does it load, and does it compute what it computes here?

There is no latency in any of this. Emulation is slower than the real thing by two orders of
magnitude and unevenly so; what it proves is function, numbers and that the wheels install.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.drift.frames import Drift, measure_drift
from edgeanim.benchmarks.drift.similarity import must_hold_window
from edgeanim.benchmarks.results.result import Failure, ModelRecord
from edgeanim.benchmarks.runner import Subject
from edgeanim.benchmarks.timing.process import MODULE, WorkerFailed, WorkerPool, WorkerProcess
from edgeanim.benchmarks.timing.protocol import Done, Job, Ready, Request
from edgeanim.core.errors import DeviceFailed
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.scratch import scratch_folder
from edgeanim.runtime.golden import load_golden
from edgeanim.targets.on.emulator import Emulator, Processor

SCHEMA: Literal["edgeanim.emulation/1"] = "edgeanim.emulation/1"
_PATIENCE_SECONDS = 3600.0
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Agreement:
    """The emulated frames against those of the same variant on this machine: how many are equal
    to the last bit, the largest difference in levels of 0..255, and the mean SSIM."""

    equal_frames: int
    max_levels: int
    ssim_mean: float


@dataclass(frozen=True)
class EmulatedVariant:
    """One variant there. `drift` is against the float32 original's golden frames; `here` is the
    drift of this machine's own frames; `failure` why there are none there."""

    id: str
    backend_version: str | None
    frames: int
    drift: Drift | None
    here: Drift | None
    agreement: Agreement | None
    failure: Failure | None


@dataclass(frozen=True)
class Emulation:
    """A bundle on an emulated processor, without any time."""

    schema: Literal["edgeanim.emulation/1"]
    processor: str
    title: str
    board: str
    python: str
    model: ModelRecord
    variants: tuple[EmulatedVariant, ...]

    @property
    def exit_code(self) -> int:
        """0 if every variant ran there, else the first failure's."""
        codes = [variant.failure.exit_code for variant in self.variants if variant.failure]
        return next(iter(codes), 0)


def emulate(
    subjects: Sequence[Subject],
    golden: Path,
    emulator: Emulator,
    python: str,
    *,
    model: ModelRecord,
    progress: Progress = SILENT,
) -> Emulation:
    """Play the scene of `golden` with every subject, here and on `emulator`.

    A subject that fails there is reported with its diagnosis and the others go on. `python` is
    what `boot` said of the emulated Python.
    """
    reference = load_golden(golden).frames
    must_hold_window(reference[0])
    processor = emulator.processor
    progress.stage(f"Play on an emulated {processor.title}", 2 * len(subjects))
    variants: list[EmulatedVariant] = []

    def start(job: Job, folder: Path) -> WorkerProcess:
        command = emulator.command("-m", MODULE)
        return WorkerProcess(job, folder, timeout=_PATIENCE_SECONDS, command=command)

    with (
        scratch_folder("emulation") as scratch,
        WorkerPool(scratch / "here") as here,
        WorkerPool(scratch / "there", start) as there,
    ):
        for subject in subjects:
            job = _job(subject, golden, processor)
            variants.append(_variant(subject, job, reference, here, there, progress))
    progress.done()
    return Emulation(
        SCHEMA, processor.name, processor.title, processor.board, python, model, tuple(variants)
    )


def _job(subject: Subject, golden: Path, processor: Processor) -> Job:
    """The same job here as there, with the emulated board's settings."""
    settings = processor.load_board().backend(subject.backend).settings
    return Job(subject.contract, subject.graphs, golden.resolve(), 1, False, settings)


def _variant(
    subject: Subject,
    job: Job,
    reference: Frames,
    here: WorkerPool,
    there: WorkerPool,
    progress: Progress,
) -> EmulatedVariant:
    _, own, _ = _render(job, here)
    progress.step(note=f"{subject.id}, here")
    version, emulated, failure = _render(job, there)
    progress.step(note=f"{subject.id}, emulated")
    if emulated is not None and emulated.shape != reference.shape:
        failure, emulated = Failure.of(DeviceFailed("Its frames have another shape.")), None
    return EmulatedVariant(
        id=subject.id,
        backend_version=version,
        frames=0 if emulated is None else len(emulated),
        drift=None if emulated is None else measure_drift(emulated, reference),
        here=None if own is None else measure_drift(own, reference),
        agreement=None if emulated is None or own is None else agreement(emulated, own),
        failure=failure,
    )


def agreement(frames: Frames, others: Frames) -> Agreement:
    """How far two sequences of pictures, uint8 [T, H, W, C], agree."""
    levels = np.abs(frames.astype(np.int16) - others)
    equal = int((levels.reshape(len(levels), -1).max(axis=1) == 0).sum())
    return Agreement(equal, int(levels.max()), measure_drift(frames, others).ssim_mean)


def _render(job: Job, pool: WorkerPool) -> tuple[str | None, Frames | None, Failure | None]:
    """The runtime's version and the frames that it makes, or why there are none."""
    version = None
    worker = pool.start(job)
    with scratch_folder("frames") as scratch:
        path = scratch / "frames.npy"
        try:
            version = worker.receive(Ready).backend_version
            worker.ask(Request("render", path=path), Done)
        except WorkerFailed as error:
            return version, None, error.failure
        finally:
            pool.stop(worker)
        return version, np.load(path, allow_pickle=False), None
