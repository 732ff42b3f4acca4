"""Any Linux: clock and governor per core, temperatures, counters of throttling by heat.

Sources: the kernel's cpufreq and thermal files in sysfs (Documentation/ABI/testing), and x86's
thermal_throttle. A clock that cpufreq does not tell is taken from /proc/cpuinfo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import ClassVar, TypeVar

from edgeanim.benchmarks.machine.host import Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import NO_TEMPERATURE_C, Sensor, Texts, Values

T = TypeVar("T")
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
        if clocks := self._of_cores("scaling_cur_freq", number):
            return {f"{core}.freq_mhz": clock / 1e3 for core, clock in clocks.items()}
        info = self.host.text("proc/cpuinfo").splitlines()
        told = [line.partition(":")[2] for line in info if line.startswith("cpu MHz")]
        if not told:
            raise Unreadable("neither cpufreq nor /proc/cpuinfo has it")
        return {f"cpu{i}.freq_mhz": number(clock) for i, clock in enumerate(told)}

    def _temperature(self) -> Values:
        values: Values = {}
        for file in self.host.glob("sys/class/thermal/thermal_zone*/temp"):
            zone = PurePosixPath(file).parent
            try:
                kind = self.host.text(f"{zone}/type").strip()
                celsius = number(self.host.text(file)) / 1e3
            except Unreadable:
                # Single zones of a Jetson refuse to be read while their part is powered down.
                continue
            if celsius != NO_TEMPERATURE_C:
                values[f"{zone.name}.{kind}.temp_c"] = celsius
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
        each = self._of_cores("scaling_governor", str.strip)
        if not each:
            raise Unreadable("this machine has no cpufreq")
        if len(set(each.values())) == 1:
            return {"governor": next(iter(each.values()))}
        return {f"governor of {core}": name for core, name in each.items()}

    def _of_cores(self, name: str, read: Callable[[str], T]) -> dict[str, T]:
        """What cpufreq tells of each core that is switched on. The kernel refuses to read a file of
        a cluster that is off, as a Jetson's power mode may leave it; empty without cpufreq."""
        found: dict[str, T] = {}
        refusals: list[Unreadable] = []
        for file in self.host.glob(f"{_CPU}/cpufreq/{name}"):
            try:
                found[_core(file)] = read(self.host.text(file))
            except Unreadable as reason:
                refusals.append(reason)
        if refusals and not found:
            raise refusals[0]
        return found


def _core(file: str) -> str:
    return PurePosixPath(file).parent.parent.name


SENSOR = ThermalSensor
