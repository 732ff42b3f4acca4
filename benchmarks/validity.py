"""Whether the circumstances of a run allow to rely on its figures; each reason not to, in words."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeanim.benchmarks.circumstances import SensorReading, Validity

FOREIGN_CORES = 0.15
STEAL_SHARE = 0.01
MEMORY_STALL_SHARE = 0.01
CLOCK_JUMP_SECONDS = 0.5


@dataclass(frozen=True)
class Clocks:
    """Wall clock, steady clock, and CPU time of this process and its ended children, in seconds."""

    wall: float
    steady: float
    own_cpu: float

    @classmethod
    def now(cls) -> Clocks:
        """Read all three."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return cls(time.time(), time.monotonic(), own)


def judge(
    readings: Sequence[SensorReading],
    before: Clocks,
    after: Clocks,
    governors: tuple[str | None, str | None] = (None, None),
) -> Validity:
    """The verdict on a run from its first and last reading, its clocks and its governors.

    What the sensors could not tell is not held against the run; the report says it is missing.
    """
    elapsed = after.steady - before.steady
    growth = _growth(readings)
    found = [
        _foreign_load(growth, elapsed, after.own_cpu - before.own_cpu),
        _steal(growth, elapsed),
        _swap(growth),
        _memory_pressure(growth, elapsed),
        *_throttling(growth),
        _clock_jump(before, after),
        _governor(*governors),
    ]
    reasons = tuple(reason for reason in found if reason is not None)
    return Validity(not reasons, reasons)


def _growth(readings: Sequence[SensorReading]) -> Mapping[str, float]:
    if len(readings) < 2:
        return {}
    first, last = readings[0].values, readings[-1].values
    return {name: last[name] - first[name] for name in first if name in last}


def _foreign_load(growth: Mapping[str, float], elapsed: float, own_cpu: float) -> str | None:
    if "cpu.busy_s" not in growth or elapsed <= 0:
        return None
    cores = (growth["cpu.busy_s"] - own_cpu) / elapsed
    if cores <= FOREIGN_CORES:
        return None
    return f"foreign load: other processes kept {cores:.2f} cores busy"


def _steal(growth: Mapping[str, float], elapsed: float) -> str | None:
    share = growth.get("cpu.steal_s", 0.0) / elapsed if elapsed > 0 else 0.0
    if share <= STEAL_SHARE:
        return None
    return f"stolen time: the hypervisor took {share:.1%} of a core"


def _swap(growth: Mapping[str, float]) -> str | None:
    pages = growth.get("swap.out_pages", 0.0)
    return f"swapping: {pages:.0f} pages were written out" if pages > 0 else None


def _memory_pressure(growth: Mapping[str, float], elapsed: float) -> str | None:
    share = growth.get("psi.memory.full_s", 0.0) / elapsed if elapsed > 0 else 0.0
    if share <= MEMORY_STALL_SHARE:
        return None
    return f"memory pressure: everything stood still for {share:.1%} of the time"


def _throttling(growth: Mapping[str, float]) -> list[str | None]:
    hot = [name for name, value in growth.items() if name.endswith(".throttle_count") and value > 0]
    held = growth.get("cgroup.throttled_s", 0.0)
    return [
        f"throttled by heat: {', '.join(name.partition('.')[0] for name in hot)}" if hot else None,
        f"throttled by the cgroup's CPU quota for {held:.2f} s" if held > 0 else None,
    ]


def _clock_jump(before: Clocks, after: Clocks) -> str | None:
    jump = (after.wall - before.wall) - (after.steady - before.steady)
    if abs(jump) <= CLOCK_JUMP_SECONDS:
        return None
    return f"clock jump: the wall clock moved by {jump:+.1f} s"


def _governor(before: str | None, after: str | None) -> str | None:
    return f"governor changed from {before} to {after}" if before != after else None
