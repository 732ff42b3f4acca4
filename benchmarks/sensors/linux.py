"""Any Linux: CPU time per core, frequency, temperature, throttling, pressure, cgroup, swap, faults.

Sources: proc(5), the kernel's cpufreq, thermal and x86 thermal_throttle files in sysfs, PSI
(Documentation/accounting/psi.rst), and both generations of cgroups.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from edgeanim.benchmarks.sensors.base import Snapshot

# The tick of /proc/stat is a constant of the user-space interface.
_TICKS_PER_SECOND = float(os.sysconf("SC_CLK_TCK"))
_STAT_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_IDLE = ("idle", "iowait", "steal")
_UNLIMITED_BYTES = 1 << 60

Values = dict[str, float]


class Unreadable(Exception):
    """A source is not there, not allowed or not in the form that is documented."""


class LinuxSensor:
    """Reads below `root`, which stands in for the file system's root in tests."""

    name: ClassVar[str] = "linux"

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def read(self) -> Snapshot:
        values: Values = {}
        missing: list[str] = []
        sources: tuple[tuple[str, Callable[[], Values]], ...] = (
            ("CPU time", self._cpu_time),
            ("load", self._load),
            ("frequency", self._frequency),
            ("temperature", self._temperature),
            ("throttle counters", self._throttling),
            ("pressure (PSI)", self._pressure),
            ("cgroup limits", self._cgroup),
            ("memory", self._memory),
            ("swap and page faults", self._vmstat),
        )
        for title, source in sources:
            try:
                values |= source()
            except Unreadable as reason:
                missing.append(f"{title}: {reason}")
        return Snapshot(values, tuple(missing))

    def _cpu_time(self) -> Values:
        values: Values = {}
        for line in self._lines("proc/stat"):
            match = re.match(r"(cpu\d*)\s+(.*)", line)
            if match is None:
                continue
            ticks = dict(zip(_STAT_FIELDS, map(_number, match[2].split()), strict=False))
            if len(ticks) < len(_STAT_FIELDS):
                raise Unreadable("/proc/stat has too few columns")
            busy = sum(count for field, count in ticks.items() if field not in _IDLE)
            values[f"{match[1]}.busy_s"] = busy / _TICKS_PER_SECOND
            values[f"{match[1]}.steal_s"] = ticks["steal"] / _TICKS_PER_SECOND
        if "cpu.busy_s" not in values:
            raise Unreadable("/proc/stat has no line for the CPU")
        return values

    def _load(self) -> Values:
        return {"load.runnable_1m": _number(self._text("proc/loadavg").split()[0])}

    def _frequency(self) -> Values:
        files = self._glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        if files:
            return {f"{f.parent.parent.name}.freq_mhz": _read_number(f) / 1e3 for f in files}
        clocks = [line for line in self._lines("proc/cpuinfo") if line.startswith("cpu MHz")]
        if not clocks:
            raise Unreadable("neither cpufreq nor /proc/cpuinfo has it")
        return {
            f"cpu{i}.freq_mhz": _number(line.partition(":")[2]) for i, line in enumerate(clocks)
        }

    def _temperature(self) -> Values:
        values: Values = {}
        for file in self._glob("sys/class/thermal/thermal_zone*/temp"):
            zone = file.parent
            try:
                kind = (zone / "type").read_text().strip()
                values[f"{zone.name}.{kind}.temp_c"] = _read_number(file) / 1e3
            except (OSError, Unreadable):
                continue
        if not values:
            raise Unreadable("/sys/class/thermal has no readable zone")
        return values

    def _throttling(self) -> Values:
        files = self._glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        if not files:
            raise Unreadable("this CPU or virtual machine has none")
        return {f"{f.parent.parent.name}.throttle_count": _read_number(f) for f in files}

    def _pressure(self) -> Values:
        values: Values = {}
        for resource in ("cpu", "memory", "io"):
            for line in self._lines(f"proc/pressure/{resource}"):
                match = re.match(r"(some|full) .*total=(\d+)$", line)
                if match is None:
                    raise Unreadable(f"/proc/pressure/{resource} is not in the documented form")
                values[f"psi.{resource}.{match[1]}_s"] = _number(match[2]) / 1e6
        return values

    def _cgroup(self) -> Values:
        base = self.root / "sys/fs/cgroup"
        second, first = base / "cpu.max", base / "cpu/cpu.cfs_quota_us"
        if not second.is_file() and not first.is_file():
            raise Unreadable("/sys/fs/cgroup shows no CPU limit file")
        return _cgroup_v2(base) if second.is_file() else _cgroup_v1(base)

    def _memory(self) -> Values:
        table = dict(line.split(":", 1) for line in self._lines("proc/meminfo") if ":" in line)
        names = {"MemAvailable": "memory.available_mb", "SwapTotal": "swap.total_mb"}
        if not {*names, "SwapFree"} <= table.keys():
            raise Unreadable("/proc/meminfo lacks MemAvailable, SwapTotal or SwapFree")
        mb = {key: _number(text.split()[0]) / 1024 for key, text in table.items() if text.split()}
        values = {name: mb[key] for key, name in names.items()}
        return values | {"swap.used_mb": mb["SwapTotal"] - mb["SwapFree"]}

    def _vmstat(self) -> Values:
        names = {
            "pswpin": "swap.in_pages",
            "pswpout": "swap.out_pages",
            "pgmajfault": "faults.major_count",
        }
        found: Values = {}
        for line in self._lines("proc/vmstat"):
            key, _, value = line.partition(" ")
            if key in names:
                found[names[key]] = _number(value)
        if len(found) < len(names):
            raise Unreadable("/proc/vmstat lacks pswpin, pswpout or pgmajfault")
        return found

    def _text(self, name: str) -> str:
        text = _read(self.root / name)
        if not text.strip():
            raise Unreadable(f"/{name} is empty")
        return text

    def _lines(self, name: str) -> list[str]:
        return self._text(name).splitlines()

    def _glob(self, pattern: str) -> list[Path]:
        return sorted(self.root.glob(pattern))


def _cgroup_v2(base: Path) -> Values:
    values: Values = {}
    quota, _, period = _read(base / "cpu.max").strip().partition(" ")
    if quota != "max":
        values["cgroup.cpu_limit_cores"] = _number(quota) / _number(period)
    values |= _throttled(base / "cpu.stat", "throttled_usec", 1e6)
    limit = base / "memory.max"
    if limit.is_file() and (text := _read(limit).strip()) != "max":
        values["cgroup.memory_limit_mb"] = _number(text) / (1 << 20)
    return values


def _cgroup_v1(base: Path) -> Values:
    values: Values = {}
    quota = _read_number(base / "cpu/cpu.cfs_quota_us")
    if quota > 0:
        values["cgroup.cpu_limit_cores"] = quota / _read_number(base / "cpu/cpu.cfs_period_us")
    values |= _throttled(base / "cpu/cpu.stat", "throttled_time", 1e9)
    limit = base / "memory/memory.limit_in_bytes"
    if limit.is_file() and (size := _read_number(limit)) < _UNLIMITED_BYTES:
        values["cgroup.memory_limit_mb"] = size / (1 << 20)
    return values


def _throttled(path: Path, key: str, per_second: float) -> Values:
    """Time for which this cgroup was held back by its quota; absent without a quota."""
    if not path.is_file():
        return {}
    table = dict(line.split() for line in _read(path).splitlines() if len(line.split()) == 2)
    return {"cgroup.throttled_s": _number(table[key]) / per_second} if key in table else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror or error}") from error


def _read_number(path: Path) -> float:
    return _number(_read(path))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Unreadable(f"{text.strip()!r} is not a number")
    return number


SENSOR = LinuxSensor()
