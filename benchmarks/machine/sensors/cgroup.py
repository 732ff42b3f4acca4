"""The limits of this process's control group, and for how long it was held back by them.

Both generations (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1). A group is held to its own
limits and to those of every group above it, so all are read, up to the top of the hierarchy that
the process sees, which inside a container is the container's own.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Values

_BASE = "sys/fs/cgroup"
_OWN = "proc/self/cgroup"
# cgroup v1 says "no limit" with the largest number of pages that fits into 63 bits.
_UNLIMITED_BYTES = 1 << 60
_CORES, _MEMORY, _HELD = "cgroup.cpu_limit_cores", "cgroup.memory_limit_mb", "cgroup.throttled_s"


class CgroupSensor(Sensor):
    """CPU and memory limits: the least of all groups; the time held back, of all together."""

    name: ClassVar[str] = "cgroup"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (("cgroup limits", self._limits),)

    def _limits(self) -> Values:
        unified, cpu = self._groups(""), self._groups("cpu")
        if any(self._has(f"{group}/cpu.max") for group in unified):
            found = [self._second(group) for group in unified]
        elif any(self._has(f"{group}/cpu.cfs_quota_us") for group in cpu):
            found = [self._first_cpu(group) for group in cpu]
            found += [self._first_memory(group) for group in self._groups("memory")]
        else:
            raise Unreadable("/sys/fs/cgroup shows no CPU limit file")
        values: Values = {}
        for name, together in ((_CORES, min), (_MEMORY, min), (_HELD, sum)):
            if each := [one[name] for one in found if name in one]:
                values[name] = together(each)
        return values

    def _groups(self, controller: str) -> list[str]:
        """The folders of the process's group and of those above it, in the hierarchy of one
        `controller` of the first generation, or by `""` in that of the second."""
        top = PurePosixPath(_BASE, controller)
        group = top / self._place(controller).strip("/")
        return [str(each) for each in (group, *group.parents) if each.is_relative_to(top)]

    def _place(self, controller: str) -> str:
        try:
            lines = self.host.text(_OWN).splitlines()
        except Unreadable:
            return ""
        for line in lines:
            _, _, rest = line.partition(":")
            controllers, _, place = rest.partition(":")
            # What lies outside of what a container sees begins with "/..".
            if controller in controllers.split(",") and ".." not in place.split("/"):
                return place
        return ""

    def _second(self, group: str) -> Values:
        values: Values = {}
        if self._has(f"{group}/cpu.max"):
            quota, _, period = self.host.text(f"{group}/cpu.max").strip().partition(" ")
            if quota != "max":
                values[_CORES] = _ratio(quota, period)
        values |= self._throttled(f"{group}/cpu.stat", "throttled_usec", 1e6)
        if self._has(f"{group}/memory.max"):
            limit = self.host.text(f"{group}/memory.max").strip()
            if limit != "max":
                values[_MEMORY] = number(limit) / (1 << 20)
        return values

    def _first_cpu(self, group: str) -> Values:
        values: Values = {}
        if self._has(f"{group}/cpu.cfs_quota_us"):
            quota = self.host.text(f"{group}/cpu.cfs_quota_us")
            if number(quota) > 0:
                values[_CORES] = _ratio(quota, self.host.text(f"{group}/cpu.cfs_period_us"))
        return values | self._throttled(f"{group}/cpu.stat", "throttled_time", 1e9)

    def _first_memory(self, group: str) -> Values:
        if not self._has(f"{group}/memory.limit_in_bytes"):
            return {}
        size = number(self.host.text(f"{group}/memory.limit_in_bytes"))
        return {_MEMORY: size / (1 << 20)} if size < _UNLIMITED_BYTES else {}

    def _throttled(self, file: str, key: str, per_second: float) -> Values:
        """Time for which this cgroup was held back by its quota; absent without a quota."""
        if not self._has(file):
            return {}
        lines = (line.split() for line in self.host.text(file).splitlines())
        table = {words[0]: words[1] for words in lines if len(words) == 2}
        return {_HELD: number(table[key]) / per_second} if key in table else {}

    def _has(self, file: str) -> bool:
        return bool(self.host.glob(glob.escape(file)))


def _ratio(quota: str, period: str) -> float:
    if number(period) <= 0:
        raise Unreadable(f"a period of {period.strip()} us is none")
    return number(quota) / number(period)


SENSOR = CgroupSensor
