"""Any Linux: clock and governor per core, temperatures, counters of throttling by heat.

Sources: the kernel's cpufreq and thermal files in sysfs (Documentation/ABI/testing), and x86's
thermal_throttle. A clock that cpufreq does not tell is taken from /proc/cpuinfo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from edgeanim.benchmarks.host import Unreadable, number
from edgeanim.benchmarks.sensors.base import Sensor, Texts, Values

_CPU = "sys/devices/system/cpu/cpu[0-9]*"
_COUNTERS = {"core_throttle_count": "throttle_count", "package_throttle_count": "package_count"}


class ThermalSensor(Sensor):
    """What the kernel tells of heat and clocks."""

    name: ClassVar[str] = "thermal"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (
            ("frequency", self._frequency),
            ("temperature", self._temperature),
            ("throttle counters", self._throttling),
        )

    def settings(self) -> Sequence[tuple[str, Callable[[], Texts]]]:
        return (("governor", self._governors),)

    def _frequency(self) -> Values:
        files = self.host.glob(f"{_CPU}/cpufreq/scaling_cur_freq")
        if files:
            return {f"{_core(f)}.freq_mhz": number(self.host.text(f)) / 1e3 for f in files}
        info = self.host.text("proc/cpuinfo").splitlines()
        clocks = [line.partition(":")[2] for line in info if line.startswith("cpu MHz")]
        if not clocks:
            raise Unreadable("neither cpufreq nor /proc/cpuinfo has it")
        return {f"cpu{i}.freq_mhz": number(clock) for i, clock in enumerate(clocks)}

    def _temperature(self) -> Values:
        values: Values = {}
        for file in self.host.glob("sys/class/thermal/thermal_zone*/temp"):
            zone = PurePosixPath(file).parent
            try:
                kind = self.host.text(f"{zone}/type").strip()
                values[f"{zone.name}.{kind}.temp_c"] = number(self.host.text(file)) / 1e3
            except Unreadable:
                # Single zones of a Jetson refuse to be read while their part is powered down.
                continue
        if not values:
            raise Unreadable("/sys/class/thermal has no readable zone")
        return values

    def _throttling(self) -> Values:
        values: Values = {}
        for counter, name in _COUNTERS.items():
            for file in self.host.glob(f"{_CPU}/thermal_throttle/{counter}"):
                values[f"{_core(file)}.{name}"] = number(self.host.text(file))
        if not values:
            raise Unreadable("this CPU or virtual machine has none")
        return values

    def _governors(self) -> Texts:
        files = self.host.glob(f"{_CPU}/cpufreq/scaling_governor")
        if not files:
            raise Unreadable("this machine has no cpufreq")
        each = [self.host.text(file).strip() for file in files]
        if len(set(each)) == 1:
            return {"governor": each[0]}
        return {f"governor of {_core(f)}": name for f, name in zip(files, each, strict=True)}


def _core(file: str) -> str:
    return PurePosixPath(file).parent.parent.name


SENSOR = ThermalSensor
