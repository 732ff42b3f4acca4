"""The limits of this process's control group, and for how long it was held back by them.

Both generations (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1). What is read is the top
of the hierarchy that the process sees, which inside a container is the container's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.host import Unreadable, number
from edgeanim.benchmarks.sensors.base import Sensor, Values

_BASE = "sys/fs/cgroup"
# cgroup v1 says "no limit" with the largest number of pages that fits into 63 bits.
_UNLIMITED_BYTES = 1 << 60


class CgroupSensor(Sensor):
    """CPU and memory limits."""

    name: ClassVar[str] = "cgroup"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (("cgroup limits", self._limits),)

    def _limits(self) -> Values:
        if self.host.glob(f"{_BASE}/cpu.max"):
            return self._second()
        if self.host.glob(f"{_BASE}/cpu/cpu.cfs_quota_us"):
            return self._first()
        raise Unreadable("/sys/fs/cgroup shows no CPU limit file")

    def _second(self) -> Values:
        values: Values = {}
        quota, _, period = self.host.text(f"{_BASE}/cpu.max").strip().partition(" ")
        if quota != "max":
            values["cgroup.cpu_limit_cores"] = _ratio(quota, period)
        values |= self._throttled(f"{_BASE}/cpu.stat", "throttled_usec", 1e6)
        for file in self.host.glob(f"{_BASE}/memory.max"):
            limit = self.host.text(file).strip()
            if limit != "max":
                values["cgroup.memory_limit_mb"] = number(limit) / (1 << 20)
        return values

    def _first(self) -> Values:
        values: Values = {}
        quota = self.host.text(f"{_BASE}/cpu/cpu.cfs_quota_us")
        if number(quota) > 0:
            period = self.host.text(f"{_BASE}/cpu/cpu.cfs_period_us")
            values["cgroup.cpu_limit_cores"] = _ratio(quota, period)
        values |= self._throttled(f"{_BASE}/cpu/cpu.stat", "throttled_time", 1e9)
        for file in self.host.glob(f"{_BASE}/memory/memory.limit_in_bytes"):
            size = number(self.host.text(file))
            if size < _UNLIMITED_BYTES:
                values["cgroup.memory_limit_mb"] = size / (1 << 20)
        return values

    def _throttled(self, file: str, key: str, per_second: float) -> Values:
        """Time for which this cgroup was held back by its quota; absent without a quota."""
        if not self.host.glob(file):
            return {}
        lines = (line.split() for line in self.host.text(file).splitlines())
        table = {words[0]: words[1] for words in lines if len(words) == 2}
        return {"cgroup.throttled_s": number(table[key]) / per_second} if key in table else {}


def _ratio(quota: str, period: str) -> float:
    if number(period) <= 0:
        raise Unreadable(f"a period of {period.strip()} us is none")
    return number(quota) / number(period)


SENSOR = CgroupSensor
