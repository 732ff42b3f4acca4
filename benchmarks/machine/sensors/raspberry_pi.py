"""Raspberry Pi: what the firmware says of throttling, heat, clock, voltage and, on a Pi 5, power.

Source: `vcgencmd` (raspberrypi/documentation, os/graphics-utilities). Where only the kernel tells,
its `get_throttled` file or its hwmon driver `rpi_volt` is read. Models before the Pi 5 cannot
measure their power: it is missing, never estimated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Host, Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Values

# Bit in the low half: now; the same bit sixteen higher: at some time since boot.
_BITS = {0: "under_voltage", 1: "freq_capped", 2: "throttled", 3: "soft_temp_limit"}
_SINCE_BOOT = 16
# A Pi 5's device tree calls it soc@107c000000.
_KERNEL_FILES = "sys/devices/platform/soc*/*firmware/get_throttled"
_MODEL = "proc/device-tree/model"
_RAIL = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([-+.\dA-Za-z]*?)[AV]\s*$", re.MULTILINE)


class RaspberryPiSensor(Sensor):
    """Values named `pi.…`. `pi.power_w` is the sum over the PMIC's rails, not what the wall
    socket gives: the losses before the PMIC and USB devices are not in it."""

    name: ClassVar[str] = "raspberry_pi"

    def __init__(self, host: Host | None = None) -> None:
        super().__init__(host)
        self._no_power: str | None = None
        self._before: list[str] | None = None
        self._has_bits = self._has_power = False

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (
            ("throttling", self._throttling),
            ("throttling between two looks", self._between),
            ("under-voltage", self._alarm),
            ("firmware temperature", lambda: self._ask("measure_temp", "temp=", "'C", "temp_c")),
            ("firmware voltage", lambda: self._ask("measure_volts", "volt=", "V", "core_v")),
            ("firmware clock", self._clock),
            ("power", self._power),
        )

    def _throttling(self) -> Values:
        self._has_bits = False
        values = read_bits(self._bits())
        self._has_bits = True
        if self._before is None:
            self._before = [n for n in _BITS.values() if values[f"pi.{n}_since_boot"]]
        return values

    def _between(self) -> Values:
        if self._before:
            raise Unreadable(
                f"since boot the firmware has noted {', '.join(self._before)} already, so that "
                "only what it says at a look counts; reboot to see all of it"
            )
        return {}

    def _alarm(self) -> Values:
        """Without the firmware's bits, what any kernel tells of a Pi: whether its supply sagged."""
        for folder in () if self._has_bits else self.host.hwmon("rpi_volt"):
            alarm = self.host.text(f"{folder}/in0_lcrit_alarm")
            return {"pi.under_voltage_now": number(alarm)}
        return {}

    def _bits(self) -> str:
        try:
            return self.host.run("vcgencmd", "get_throttled")
        except Unreadable as reason:
            for file in self.host.glob(_KERNEL_FILES):
                return self.host.text(file)
            raise Unreadable(f"{reason}; nor does the kernel tell") from reason

    def _ask(self, what: str, before: str, after: str, name: str) -> Values:
        text = self.host.run("vcgencmd", what).strip()
        if not text.startswith(before) or not text.endswith(after):
            raise Unreadable(f"vcgencmd {what} said {text[:40]!r}")
        return {f"pi.{name}": number(text.removeprefix(before).removesuffix(after))}

    def _clock(self) -> Values:
        text = self.host.run("vcgencmd", "measure_clock", "arm").strip()
        match = re.fullmatch(r"frequency\(\d+\)=(\d+)", text)
        if match is None:
            raise Unreadable(f"vcgencmd measure_clock arm said {text[:40]!r}")
        return {"pi.arm_mhz": number(match[1]) / 1e6}

    def _power(self) -> Values:
        if self._no_power is not None:
            # It will not change while we look, and every question costs a process.
            raise Unreadable(self._no_power)
        try:
            values = read_pmic(self.host.run("vcgencmd", "pmic_read_adc"))
        except Unreadable as reason:
            if self._has_power:  # a busy board may answer late
                raise
            self._no_power = f"{self._model()} cannot measure its power ({reason})"
            raise Unreadable(self._no_power) from reason
        self._has_power = True
        return values

    def _model(self) -> str:
        try:
            return self.host.text(_MODEL).strip("\0\n ")
        except Unreadable:
            return "this board"


def read_bits(text: str) -> Values:
    """The flags of `throttled=0x50005`, or of the same number alone; each 0 or 1."""
    digits = text.strip().removeprefix("throttled=").removeprefix("0x")
    try:
        bits = int(digits, 16)
    except ValueError as error:
        raise Unreadable(f"{text.strip()[:40]!r} are no throttling bits") from error
    values: Values = {}
    for bit, name in _BITS.items():
        values[f"pi.{name}_now"] = float(bits >> bit & 1)
        values[f"pi.{name}_since_boot"] = float(bits >> bit + _SINCE_BOOT & 1)
    return values


def read_pmic(text: str) -> Values:
    """Power of each rail and their sum, from `vcgencmd pmic_read_adc`.

    Current and voltage of a rail have different indices: what pairs them is the rail's name. Rails
    without a current (the input `EXT5V`, the battery) give a voltage only.
    """
    amperes: Values = {}
    volts: Values = {}
    for rail, unit, figure in _RAIL.findall(text):
        (amperes if unit == "A" else volts)[rail.lower()] = number(figure)
    both = [rail for rail in amperes if rail in volts]
    if not both:
        said = text.strip().splitlines()[:1]
        raise Unreadable(f"vcgencmd pmic_read_adc said {said[0][:60]!r}" if said else "no rails")
    values = {f"pi.{rail}.power_w": amperes[rail] * volts[rail] for rail in both}
    values |= {f"pi.{rail}_v": volt for rail, volt in volts.items() if rail not in amperes}
    return values | {"pi.power_w": sum(values[f"pi.{rail}.power_w"] for rail in both)}


SENSOR = RaspberryPiSensor
