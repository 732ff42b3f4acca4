"""Any Linux: CPU time per core, load, pressure, memory, swap and page faults.

Sources: proc(5) and PSI (Documentation/accounting/psi.rst).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Values

# The tick of /proc/stat is a constant of the user-space interface.
_TICKS_PER_SECOND = float(os.sysconf("SC_CLK_TCK"))
_STAT_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_IDLE = ("idle", "iowait", "steal")
_VMSTAT = {
    "pswpin": "swap.in_pages",
    "pswpout": "swap.out_pages",
    "pgmajfault": "faults.major_count",
}


class LinuxSensor(Sensor):
    """What procfs tells of the whole machine."""

    name: ClassVar[str] = "linux"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (
            ("CPU time", self._cpu_time),
            ("load", self._load),
            ("pressure (PSI)", self._pressure),
            ("memory", self._memory),
            ("swap and page faults", self._vmstat),
        )

    def _cpu_time(self) -> Values:
        values: Values = {}
        for line in self._lines("proc/stat"):
            match = re.match(r"(cpu\d*)\s+(.*)", line)
            if match is None:
                continue
            ticks = dict(zip(_STAT_FIELDS, map(number, match[2].split()), strict=False))
            if len(ticks) < len(_STAT_FIELDS):
                raise Unreadable("/proc/stat has too few columns")
            busy = sum(count for field, count in ticks.items() if field not in _IDLE)
            values[f"{match[1]}.busy_s"] = busy / _TICKS_PER_SECOND
            values[f"{match[1]}.steal_s"] = ticks["steal"] / _TICKS_PER_SECOND
        if "cpu.busy_s" not in values:
            raise Unreadable("/proc/stat has no line for the CPU")
        return values

    def _load(self) -> Values:
        return {"load.runnable_1m": number(self.host.text("proc/loadavg").split()[0])}

    def _pressure(self) -> Values:
        values: Values = {}
        for resource in ("cpu", "memory", "io"):
            for line in self._lines(f"proc/pressure/{resource}"):
                match = re.match(r"(some|full) .*total=(\d+)$", line)
                if match is None:
                    raise Unreadable(f"/proc/pressure/{resource} is not in the documented form")
                values[f"psi.{resource}.{match[1]}_s"] = number(match[2]) / 1e6
        return values

    def _memory(self) -> Values:
        table = dict(line.split(":", 1) for line in self._lines("proc/meminfo") if ":" in line)
        names = {"MemAvailable": "memory.available_mb", "SwapTotal": "swap.total_mb"}
        if not {*names, "SwapFree"} <= table.keys():
            raise Unreadable("/proc/meminfo lacks MemAvailable, SwapTotal or SwapFree")
        mb = {key: number((table[key].split() or [""])[0]) / 1024 for key in (*names, "SwapFree")}
        values = {name: mb[key] for key, name in names.items()}
        return values | {"swap.used_mb": mb["SwapTotal"] - mb["SwapFree"]}

    def _vmstat(self) -> Values:
        found: Values = {}
        for line in self._lines("proc/vmstat"):
            key, _, value = line.partition(" ")
            if key in _VMSTAT:
                found[_VMSTAT[key]] = number(value)
        if len(found) < len(_VMSTAT):
            raise Unreadable("/proc/vmstat lacks pswpin, pswpout or pgmajfault")
        return found

    def _lines(self, name: str) -> list[str]:
        return self.host.text(name).splitlines()


SENSOR = LinuxSensor
