"""Whether the circumstances of a run allow to rely on its figures; each reason not to, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgeanim.benchmarks.machine.circumstances import SensorReading, Validity
from edgeanim.benchmarks.machine.host import Clocks

FOREIGN_CORES = 0.15
STEAL_SHARE = 0.01
MEMORY_STALL_SHARE = 0.01
CLOCK_JUMP_SECONDS = 0.5
SWAP_GROWTH_MB = 1.0
# A run that ends this much hotter or cooler than it began has measured two states.
THERMAL_CHANGE_C = 15.0
_FLAGS = {
    "pi.throttled": "throttled by the firmware",
    "pi.under_voltage": "under-voltage: the power supply is too weak",
    "pi.freq_capped": "the firmware capped the clock",
    "pi.soft_temp_limit": "the firmware's soft temperature limit slowed the clock",
}

Settings = Mapping[str, str]


def judge(
    readings: Sequence[SensorReading],
    before: Clocks,
    after: Clocks,
    settings: tuple[Settings, Settings] = ({}, {}),
    *,
    replayed: str | None = None,
    warms_from: float | None = None,
) -> Validity:
    """The verdict on a run from its readings, its clocks, and its settings before and after.

    What the sensors could not tell is not held against the run; the report says it is missing.
    `replayed` names the recording that stood in for the machine. From `warms_from` (seconds into
    the run) on it was meant to warm up, as in a soak; what heat did to the clock then counts still.
    """
    elapsed = after.steady - before.steady
    growth = _growth(readings)
    found = [
        _replay(replayed),
        _foreign_load(growth, elapsed, after.own_cpu - before.own_cpu),
        _steal(growth, elapsed),
        _swap(growth),
        _memory_pressure(growth, elapsed),
        *_throttling(growth),
        *_flags(readings),
        _alarms(readings),
        _over_current(growth),
        _limiting(readings),
        _thermal_change([r for r in readings if warms_from is None or r.at_s <= warms_from]),
        _clock_jump(before, after),
        *_changes(*settings),
    ]
    reasons = tuple(reason for reason in found if reason is not None)
    return Validity(not reasons, reasons)


def _growth(readings: Sequence[SensorReading]) -> Mapping[str, float]:
    """By how much each value grew from the first reading that has it to the last."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for reading in readings:
        for name, value in reading.values.items():
            first.setdefault(name, value)
            last[name] = value
    return {name: last[name] - first[name] for name in first}


def _replay(replayed: str | None) -> str | None:
    if replayed is None:
        return None
    return f"replayed: the sensors read the recording {replayed!r}, not this machine"


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
    pages, mb = growth.get("swap.out_pages", 0.0), growth.get("swap.used_mb", 0.0)
    if pages > 0:
        return f"swapping: {pages:.0f} pages were written out"
    return f"swapping: the swap in use grew by {mb:.0f} MB" if mb >= SWAP_GROWTH_MB else None


def _memory_pressure(growth: Mapping[str, float], elapsed: float) -> str | None:
    share = growth.get("psi.memory.full_s", 0.0) / elapsed if elapsed > 0 else 0.0
    if share <= MEMORY_STALL_SHARE:
        return None
    return f"memory pressure: everything stood still for {share:.1%} of the time"


def _throttling(growth: Mapping[str, float]) -> list[str | None]:
    hot = _parts_with(growth, lambda name: name.endswith((".throttle_count", ".package_count")))
    held = growth.get("cgroup.throttled_s", 0.0)
    return [
        f"throttled by heat: {', '.join(hot)}" if hot else None,
        f"throttled by the cgroup's CPU quota for {held:.2f} s" if held > 0 else None,
    ]


def _flags(readings: Sequence[SensorReading]) -> list[str | None]:
    """The firmware's bits: set at a look, or set since boot at a look and not yet at the first."""
    growth = _growth(readings)
    reasons: list[str | None] = []
    for flag, text in _FLAGS.items():
        seen = sum(reading.values.get(f"{flag}_now", 0.0) > 0 for reading in readings)
        if seen:
            reasons.append(f"{text} (at {seen} of {len(readings)} looks)")
        elif growth.get(f"{flag}_since_boot", 0.0) > 0:
            reasons.append(f"{text} (between two looks)")
    return reasons


def _alarms(readings: Sequence[SensorReading]) -> str | None:
    names = {
        name.removesuffix("_alarm")
        for reading in readings
        for name, value in reading.values.items()
        if name.endswith("_alarm") and value > 0
    }
    return f"alarm: {', '.join(sorted(names))} beyond the limit" if names else None


def _over_current(growth: Mapping[str, float]) -> str | None:
    events = _parts_with(growth, lambda name: name.startswith("oc."))
    return f"over-current: the board throttled itself ({', '.join(events)})" if events else None


def _limiting(readings: Sequence[SensorReading]) -> str | None:
    """What held a graphics processor's clock back."""
    causes = {
        name.partition(".limited_by_")[2].removesuffix("_now").replace("_", " ")
        for reading in readings
        for name, value in reading.values.items()
        if ".limited_by_" in name and value > 0
    }
    return f"the GPU's clock was held back by {', '.join(sorted(causes))}" if causes else None


def _thermal_change(readings: Sequence[SensorReading]) -> str | None:
    """The zone whose temperature at the end is furthest from that at the start."""
    changes = {name: by for name, by in _growth(readings).items() if name.endswith("temp_c")}
    if not changes:
        return None
    name = max(changes, key=lambda zone: abs(changes[zone]))
    if abs(changes[name]) <= THERMAL_CHANGE_C:
        return None
    end = next(r.values[name] for r in reversed(readings) if name in r.values)
    zone = name.removesuffix("temp_c").strip("._")
    return (
        f"thermal state unlike the start: {zone} went from {end - changes[name]:.0f} to {end:.0f} C"
    )


def _clock_jump(before: Clocks, after: Clocks) -> str | None:
    jump = (after.wall - before.wall) - (after.steady - before.steady)
    if abs(jump) <= CLOCK_JUMP_SECONDS:
        return None
    return f"clock jump: the wall clock moved by {jump:+.1f} s"


def _changes(before: Settings, after: Settings) -> list[str | None]:
    names = dict.fromkeys((*before, *after))
    return [
        f"{name} changed from {before.get(name)} to {after.get(name)}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _parts_with(growth: Mapping[str, float], wanted: Callable[[str], bool]) -> list[str]:
    """The parts (`cpu0` of `cpu0.throttle_count`) of which a wanted counter grew."""
    grown = [name for name, value in growth.items() if wanted(name) and value > 0]
    parts = (name.removeprefix("oc.").partition(".")[0].removesuffix("_count") for name in grown)
    return list(dict.fromkeys(parts))
