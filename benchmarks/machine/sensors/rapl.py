"""Energy of an x86 processor by RAPL, which Intel and AMD share: package, cores, memory.

Source: the kernel's powercap interface (Documentation/power/powercap/powercap.rst). The counters
count microjoules and wrap at `max_energy_range_uj`; here they are summed over the wraps. Since
kernel 5.10 only root may read them (CVE-2020-8694).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Host, Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Values

# `intel-rapl-mmio` shows the same package once more.
_ZONES = "sys/class/powercap/intel-rapl:*/energy_uj"
_HINT = "only root may read RAPL (run as root, or let root grant read access to energy_uj)"


class RaplSensor(Sensor):
    """`rapl.ZONE.energy_j`, counted from this sensor's first reading."""

    name: ClassVar[str] = "rapl"

    def __init__(self, host: Host | None = None) -> None:
        super().__init__(host)
        self._meters: dict[str, _Meter] = {}

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (("energy (RAPL)", self._energy),)

    def _energy(self) -> Values:
        files = self.host.glob(_ZONES)
        if not files:
            raise Unreadable("this kernel or machine has no RAPL counters")
        return {f"rapl.{self._title(file)}.energy_j": self._joules(file) for file in files}

    def _title(self, file: str) -> str:
        """`package-0`, or `package-0.core` for a part of it."""
        zone = PurePosixPath(file).parent
        names = [self.host.text(f"{zone}/name").strip()]
        parent = zone.name.rpartition(":")[0]
        if ":" in parent:
            names.insert(0, self.host.text(f"{zone.parent}/{parent}/name").strip())
        return ".".join(names)

    def _joules(self, file: str) -> float:
        try:
            now = number(self.host.text(file))
        except Unreadable as reason:
            raise Unreadable(_HINT if "not allowed" in str(reason) else str(reason)) from reason
        if file not in self._meters:
            limit = number(self.host.text(f"{PurePosixPath(file).parent}/max_energy_range_uj"))
            self._meters[file] = _Meter(limit, now)
        return self._meters[file].count(now) / 1e6


class _Meter:
    """A counter that wraps at `limit`, summed up from `start`. Right as long as it is read more
    often than it wraps, which takes minutes at the least."""

    def __init__(self, limit: float, start: float) -> None:
        self._limit = limit
        self._last = start
        self._sum = 0.0

    def count(self, now: float) -> float:
        step = now - self._last
        self._last = now
        self._sum += step if step >= 0 else step + self._limit
        return self._sum


SENSOR = RaplSensor
