"""Projection: how long a frame might take on a board that is not here. Never a measurement.

Every op that was timed here keeps its share of the roof: a convolution that reached a third of
this machine's arithmetic is taken to reach a third of the board's, an op that moves data the same
part of its memory bandwidth. What that leaves out (caches, other kernels, other runtimes) is
calibrated by one factor on public figures of known nets, and is why the interval is wide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgeanim.benchmarks.results.result import VariantResult
from edgeanim.benchmarks.roofline import Roof

SPREAD = 2.0
# What `benchmarks.figures.projection_check` printed; see docs/results.md, "Projection".
CALIBRATION = 2.6
_ROOFLESS = ("bfloat16", "float16")
_ARITHMETIC = re.compile(r"conv(?!ert)|gemm|matmul|fully", re.IGNORECASE)
Verdict = Literal["within", "over", "cannot be told"]


@dataclass(frozen=True)
class Part:
    """A part of a frame as it ran here: the `op` of the graph `stage`, in `precision`.

    `arithmetic` says whether multiply-adds bound it; else memory does.
    """

    stage: str
    op: str
    precision: str
    arithmetic: bool
    ms: float


@dataclass(frozen=True)
class Projected:
    """A projected frame time in ms with its interval (a factor of two either way), held against
    the budget. `stages_ms` are the parts that it is the sum of."""

    variant: str
    board: str
    threads: int
    measured_ms: float
    ms: float
    low_ms: float
    high_ms: float
    budget_ms: float
    verdict: Verdict
    stages_ms: Mapping[str, float]


def parts_of(variant: VariantResult) -> tuple[Part, ...]:
    """The parts of a measured variant: its stages' times in the least disturbed frame, graphs by
    what executed in them.

    Empty for a variant that failed. A stage without a profile (pictures prepared and composed on
    the host) counts as bound by memory.
    """
    latency = variant.latency
    if latency is None or not latency.p50_ms:
        return ()
    # Others on the machine only ever add, and the roof is that of its best moment too.
    undisturbed = latency.min_ms / latency.p50_ms
    profiles = variant.executed.graphs if variant.executed else {}
    parts = []
    for stage, times in variant.stages.items():
        ms = (times.p50_ms or 0.0) * undisturbed
        if stage not in profiles:
            parts.append(Part(stage, stage, "float32", False, ms))
            continue
        parts += [
            Part(stage, op.op, op.precision, is_arithmetic(op.op, op.kind), ms * op.share)
            for op in profiles[stage].ops
        ]
    return tuple(parts)


def has_roofs(parts: Sequence[Part]) -> bool:
    """Whether the arithmetic of all `parts` has a roof: that of float32 or of INT8. What computed
    in bfloat16 or float16 went faster than float32 lets it, and would seem to do so anywhere."""
    return not any(part.arithmetic and part.precision in _ROOFLESS for part in parts)


def is_arithmetic(op: str, kind: str) -> bool:
    """Whether multiply-adds bound an op, by its runtime's name of it."""
    return kind == "compute" and _ARITHMETIC.search(op) is not None


def scaled_ms(parts: Sequence[Part], here: Roof, there: Roof) -> dict[str, float]:
    """The time of each stage there, in ms, uncalibrated."""
    stages: dict[str, float] = {}
    for part in parts:
        if part.arithmetic:
            factor = here.arithmetic(part.precision) / there.arithmetic(part.precision)
        else:
            factor = here.memory_gb_s / there.memory_gb_s
        stages[part.stage] = stages.get(part.stage, 0.0) + part.ms * factor
    return stages


def in_int8(parts: Sequence[Part], here: Roof) -> tuple[Part, ...]:
    """The same parts with all float arithmetic in INT8 at the same share of the roof."""
    gain = here.gops_int8 / here.gflops_fp32
    return tuple(
        replace(part, precision="int8", ms=part.ms / gain)
        if part.arithmetic and part.precision != "int8"
        else part
        for part in parts
    )


def project(
    name: str,
    parts: Sequence[Part],
    here: Roof,
    there: Roof,
    *,
    board: str,
    budget_ms: float,
) -> Projected:
    """What the variant `name`, measured here as `parts`, might take where the roof is `there`."""
    stages = {s: ms * CALIBRATION for s, ms in scaled_ms(parts, here, there).items()}
    ms = sum(stages.values())
    low, high = ms / SPREAD, ms * SPREAD
    verdict: Verdict = "cannot be told"
    if high <= budget_ms:
        verdict = "within"
    elif low > budget_ms:
        verdict = "over"
    return Projected(
        name, board, there.threads, sum(part.ms for part in parts), ms, low, high, budget_ms,
        verdict, stages,
    )  # fmt: skip
