"""Reports made of synthetic samples by the functions that make real ones."""

from __future__ import annotations

import numpy as np

from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.benchmarks.machine.circumstances import (
    Environment,
    SensorLog,
    SensorReading,
    Validity,
)
from edgeanim.benchmarks.results.result import (
    SCHEMA,
    BoardRecord,
    Executed,
    ExecutedOp,
    Failure,
    FramesRecord,
    GraphProfile,
    Latency,
    Memory,
    ModelRecord,
    ProcessSamples,
    Report,
    Settings,
    Speedup,
    VariantResult,
)
from edgeanim.benchmarks.timing.scenarios import frame_stages
from edgeanim.benchmarks.timing.stats import Interval, median, paired_ratio, percentile

FAILED = Failure("DeviceFailed", 5, "It was killed.")


def build_variant(
    name: str,
    precision: str,
    speed_ms: float,
    *,
    float32: list[list[list[float]]] | None = None,
    noise: int = 0,
    failure: Failure | None = None,
    seed: int = 0,
) -> tuple[VariantResult, list[list[list[float]]]]:
    """A variant of about this speed, and its blocks of samples by process; `float32` are those of
    the variant that its speed-up is over. A `failure` takes the place of all that is measured."""
    rng = np.random.default_rng(seed)
    blocks = (speed_ms * (1 + rng.gamma(2, 0.01, (3, 4, 8)))).tolist()
    processes = [[t for block in process for t in block] for process in blocks]
    reference = np.random.default_rng(3).integers(0, 200, (6, 16, 16, 3)).astype(np.uint8)
    frames = reference + rng.integers(0, noise + 1, reference.shape).astype(np.uint8)
    samples = tuple(
        ProcessSamples(
            i, 12.0, 30.0, tuple(map(tuple, blocks[i])), {"tiny": tuple(0.9 * t for t in times)}
        )
        for i, times in enumerate(processes)
    )
    good = failure is None
    flat = [t for process in processes for t in process]
    result = VariantResult(
        id=f"{name}-{precision}",
        backend=name,
        backend_version="1.0",
        precision=precision,  # type: ignore[arg-type]
        schemes=("float32",) if precision == "float32" else ("onnx-qdq",),
        size_bytes=1000,
        latency=_latency(flat, len(processes)) if good else None,
        throughput_fps=1e3 / median(flat) if good else None,
        stages=frame_stages(samples) if good else {},
        executed=_executed(precision) if good else None,
        drift=measure_drift(frames, reference) if good else None,
        memory=Memory(80.0, 60.0, None, 0) if good else None,
        speedup=None if float32 is None else _speedup(f"{name}-float32", float32, blocks),
        failure=failure,
        samples=samples if good else (),
    )
    return result, blocks


def _latency(times: list[float], processes: int) -> Latency:
    quantiles = [percentile(times, q) for q in (50, 90, 95, 99)]
    intervals = (
        Interval(0.99 * np.percentile(times, q), 1.01 * np.percentile(times, q)) for q in (50, 90)
    )
    return Latency(len(times), processes, *quantiles, *intervals, min(times), max(times), 12.0)


def _executed(precision: str) -> Executed:
    int8 = 0.9 if precision == "int8" else 0.0
    op = ExecutedOp("Conv", precision, "compute", 3, 1.0)
    profile = GraphProfile("time", int8, 1 - int8, 0.0, 0.0, "from the runtime", (op,))
    return Executed(int8, 1 - int8, 0.0, 0.0, {"tiny": profile})


def _speedup(
    over: str, float32: list[list[list[float]]], blocks: list[list[list[float]]]
) -> Speedup:
    ratio = paired_ratio(float32, blocks, resamples=50)
    return Speedup(over, ratio.value, ratio.interval)


def build_report(
    speeds: dict[str, tuple[float, float]] | None = None,
    *,
    model: str = "a",
    frames: str = "b",
    machine: str = "m1",
    noise: int = 2,
    failure: Failure | None = None,
    reasons: tuple[str, ...] = (),
    seed: int = 0,
) -> Report:
    """A report with float32 and INT8 of each backend in `speeds` (ms), made of synthetic samples
    by the very functions that make a real one."""
    variants: list[VariantResult] = []
    for index, (name, (slow, fast)) in enumerate((speeds or {"onnxruntime": (20.0, 8.0)}).items()):
        first, blocks = build_variant(name, "float32", slow, seed=seed + index)
        second, _ = build_variant(
            name, "int8", fast, float32=blocks, noise=noise, failure=failure, seed=seed + 50 + index
        )
        variants += [first, second]
    return Report(
        schema=SCHEMA,
        edgeanim="0.1.0",
        created="2025-06-01T10:00:00Z",
        duration_s=12.0,
        model=ModelRecord("tiny", model * 64, None),
        frames=FramesRecord(frames * 64, 6, 16, 16),
        board=BoardRecord("local", "This machine", 50.0),
        settings=Settings(1, 3, 4, 8, 0.25, 10, 1.0),
        variants=tuple(variants),
        environment=Environment(
            machine,
            "Some CPU",
            "x86_64",
            ("avx2",),
            2,
            4096,
            None,
            "6.1",
            "glibc 2.36",
            "3.11.0",
            {"numpy": "2.0"},
            0.1,
        ),
        sensors=(SensorLog("linux", (SensorReading(0.0, {"cpu.busy_s": 1.0}),), ("none: x",), {}),),
        validity=Validity(not reasons, reasons),
    )
