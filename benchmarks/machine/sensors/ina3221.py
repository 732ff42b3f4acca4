"""NVIDIA Jetson: power per rail from its INA3221 monitors, by the paths of either kernel.

Sources: the kernel's hwmon driver (Documentation/hwmon/ina3221.rst; JetPack 5 and later), and the
older kernel's IIO files (L4T guide, "Power and Thermal"; JetPack 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Values

_HWMON = "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in[0-9]*_label"
_IIO = "sys/bus/i2c/devices/*/iio:device*/rail_name_[0-9]*"
# Channels without a rail behind them.
_NO_RAIL = ("sum of shunt voltages", "nc", "")
# The rail through which everything flows, on the boards that have one.
_INPUT = ("vdd_in", "pom_5v_in")
_ALARMS = ("max_alarm", "crit_alarm")


class Ina3221Sensor(Sensor):
    """`ina.RAIL.power_w`, `_v` and `_a`; `ina.power_w` where one rail feeds the whole board."""

    name: ClassVar[str] = "ina3221"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (("power (INA3221)", self._power),)

    def _power(self) -> Values:
        values: Values = {}
        for file in self.host.glob(_HWMON):
            values |= self._channel(file)
        for file in self.host.glob(_IIO) if not values else ():
            values |= self._older_channel(file)
        if not values:
            raise Unreadable("no INA3221 rail can be read")
        for rail in _INPUT:
            if f"ina.{rail}.power_w" in values:
                values["ina.power_w"] = values[f"ina.{rail}.power_w"]
        return values

    def _channel(self, file: str) -> Values:
        rail = self._rail(file)
        folder, _, name = file.rpartition("/")
        channel = re.sub(r"\D", "", name)
        if rail is None:
            return {}
        try:
            millivolts = number(self.host.text(f"{folder}/in{channel}_input"))
            milliamperes = number(self.host.text(f"{folder}/curr{channel}_input"))
        except Unreadable:
            # A channel that is switched off cannot be read.
            return {}
        values = {
            f"ina.{rail}_v": millivolts / 1e3,
            f"ina.{rail}_a": milliamperes / 1e3,
            f"ina.{rail}.power_w": millivolts * milliamperes / 1e6,
        }
        alarms = [f for a in _ALARMS for f in self.host.glob(f"{folder}/curr{channel}_{a}")]
        if alarms:
            raised = any(number(self.host.text(alarm)) > 0 for alarm in alarms)
            values[f"ina.{rail}_alarm"] = float(raised)
        return values

    def _older_channel(self, file: str) -> Values:
        rail = self._rail(file)
        folder, _, name = file.rpartition("/")
        channel = name.rpartition("_")[2]
        if rail is None:
            return {}
        try:
            return {
                f"ina.{rail}_v": number(self.host.text(f"{folder}/in_voltage{channel}_input"))
                / 1e3,
                f"ina.{rail}_a": number(self.host.text(f"{folder}/in_current{channel}_input"))
                / 1e3,
                f"ina.{rail}.power_w": number(self.host.text(f"{folder}/in_power{channel}_input"))
                / 1e3,
            }
        except Unreadable:
            return {}

    def _rail(self, file: str) -> str | None:
        try:
            name = self.host.text(file).strip().lower()
        except Unreadable:
            return None
        return None if name in _NO_RAIL else name


SENSOR = Ina3221Sensor
