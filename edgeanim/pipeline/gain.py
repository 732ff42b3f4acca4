"""What INT8 gains on this machine: a frame's time, beside each float of the same backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.core.artifact import FloatPrecision
from edgeanim.core.parsing import to_plain
from edgeanim.pipeline.methods import Graphs, Job
from edgeanim.pipeline.timing import measure_frames
from edgeanim.pipeline.variants import make_variant
from edgeanim.pipeline.work import artifact_digest, versions

_RECORD = "times.json"
_INT8 = "int8"


@dataclass(frozen=True)
class FrameTimes:
    """Milliseconds a frame on this machine, measured briefly and by turns: in INT8, and in each
    float that the board has for the backend. What runs once a still is left out."""

    int8: float
    floats: Mapping[FloatPrecision, float]


def time_int8(job: Job, graphs: Graphs) -> FrameTimes | None:
    """How long the job's backend takes for a frame with `graphs`, its INT8, and without; `None` if
    times of this machine say nothing about the board. Kept in the store under the machine."""
    work = job.work
    if not work.is_here:
        return None
    parts = {
        "float": [artifact_digest(graph) for graph in job.model.graphs],
        "int8": [artifact_digest(graph) for graph in graphs],
        "samples": {name: samples.digest for name, samples in job.samples.items()},
        "backend": job.backend,
        "board": to_plain(work.board),
        "machine": describe().machine,
        "versions": versions(),
    }

    def find() -> FrameTimes:
        job.alone()
        variants = {_INT8: make_variant(work, job.backend, _every_frame(graphs))}
        plain = _every_frame(job.model.graphs)
        for floats in work.floats(job.backend):
            variants[floats] = make_variant(work, job.backend, plain, floats)
        ms = measure_frames(work, job.model, variants, job.samples)
        return FrameTimes(ms[_INT8], {floats: ms[floats] for floats in work.floats(job.backend)})

    work.progress.stage(f"Time INT8 on {job.backend}")
    times = work.record("gain", parts, _RECORD, FrameTimes, find)
    work.progress.done(f"{times.floats['float32'] / times.int8:.2f}x float32")
    return times


def _every_frame(graphs: Graphs) -> Graphs:
    return tuple(graph for graph in graphs if graph.spec.runs == "frame")
