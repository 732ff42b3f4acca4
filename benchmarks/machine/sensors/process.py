"""The processes that are measured, from outside: their resident memory and what is swapped out.

Source: proc(5), `status`. Peak RSS, PSS and USS are taken by the worker itself in a pass of its
own: the kernel walks all pages for them, which would disturb the clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Values

_FIELDS = {"VmRSS": "workers.rss_mb", "VmSwap": "workers.swap_mb"}


class ProcessSensor(Sensor):
    """Sums over the children of this process, without the commands that other sensors run."""

    name: ClassVar[str] = "process"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (("memory of the workers", self._memory),)

    def _memory(self) -> Values:
        files = self.host.glob("proc/self/task/[0-9]*/children")
        if not files:
            raise Unreadable("this kernel does not list the children of a process")
        pids = [pid for file in files for pid in self._children(file)]
        values: Values = {"workers.count": 0.0} | dict.fromkeys(_FIELDS.values(), 0.0)
        for pid in pids:
            self._add(pid, values)
        return values

    def _children(self, file: str) -> list[str]:
        try:
            return self.host.text(file).split()
        except Unreadable:
            # No children, or a thread that has ended.
            return []

    def _add(self, pid: str, values: Values) -> None:
        try:
            text = self.host.text(f"proc/{pid}/status")
        except Unreadable:
            # It ended meanwhile.
            return
        table = dict(re.findall(r"^(\w+):\s+(\S+)", text, re.MULTILINE))
        if table.get("Name") in self.host.ran or "VmRSS" not in table:
            return
        values["workers.count"] += 1
        for field, name in _FIELDS.items():
            values[name] += number(table.get(field, "0")) / 1024


SENSOR = ProcessSensor
