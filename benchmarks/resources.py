"""What the machine spent while it was measured, out of the sensors' logs. Pure functions.

Means over the whole run, its loading and warm-up included. What no sensor told is `None`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeanim.benchmarks.circumstances import SensorLog, SensorReading

# One rail or sum for all of the board, the most complete first; what it counts in words.
_POWER = (
    ("pi.power_w", "the sum of the rails"),
    ("ina.power_w", "the board's input"),
    ("tegra.vdd_in.power_w", "the board's input"),
    ("tegra.pom_5v_in.power_w", "the board's input"),
)
_PACKAGE = re.compile(r"rapl\.(package-\d+)\.energy_j")
_CORE_CLOCK = re.compile(r"cpu\d+\.freq_mhz")
# No register of a Jetson's PMIC tells its temperature: JetPack 4 and 5 print 50 or 100 C until it
# passes 120 C (an NVIDIA engineer in the Jetson forum, topic 121300).
_PMIC = re.compile(r"tegra\.pmic\.temp_c|thermal_zone\d+\.PMIC-Die\.temp_c")
_PMIC_MADE_UP_C = 100.0
_GPU_LOAD = re.compile(r"(jetson\.gpu|tegra\.gpu|nvidia\.\d+)\.load_percent")


@dataclass(frozen=True)
class Resources:
    """`power_w` with what it counts (`power_of`), the hottest zone at any look, the fastest core's
    mean clock, the busiest GPU's mean load."""

    power_w: float | None
    power_of: str | None
    hottest_c: float | None
    hottest_zone: str | None
    clock_mhz: float | None
    gpu_load_percent: float | None


def resources(logs: Sequence[SensorLog]) -> Resources:
    """The summary of a run."""
    readings = [reading for log in logs for reading in log.readings]
    power = _power(readings)
    heat = [(value, name) for name, value in _all(readings) if _is_heat(name, value)]
    hottest = max(heat, default=None)
    return Resources(
        power_w=power[0] if power else None,
        power_of=power[1] if power else None,
        hottest_c=hottest[0] if hottest else None,
        hottest_zone=hottest[1].removesuffix("temp_c").strip("._") if hottest else None,
        clock_mhz=_greatest_mean(readings, _CORE_CLOCK),
        gpu_load_percent=_greatest_mean(readings, _GPU_LOAD),
    )


def _is_heat(name: str, value: float) -> bool:
    """Whether this is a temperature, and a measured one."""
    made_up = value <= _PMIC_MADE_UP_C and _PMIC.fullmatch(name) is not None
    return name.endswith("temp_c") and not made_up


def _power(readings: Sequence[SensorReading]) -> tuple[float, str] | None:
    for name, what in _POWER:
        values = _series(readings, name)
        if values:
            return sum(values) / len(values), what
    packages = {name for name, _ in _all(readings) if _PACKAGE.fullmatch(name)}
    watts = [_slope(readings, name) for name in sorted(packages)]
    known = [value for value in watts if value is not None]
    return (sum(known), "the processor's package") if known and len(known) == len(watts) else None


def _slope(readings: Sequence[SensorReading], name: str) -> float | None:
    """Growth of a counter per second."""
    points = [(r.at_s, r.values[name]) for r in readings if name in r.values]
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return None
    return (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])


def _greatest_mean(readings: Sequence[SensorReading], pattern: re.Pattern[str]) -> float | None:
    names = {name for name, _ in _all(readings) if pattern.fullmatch(name)}
    means = [sum(values) / len(values) for n in names if (values := _series(readings, n))]
    return max(means, default=None)


def _series(readings: Sequence[SensorReading], name: str) -> list[float]:
    return [reading.values[name] for reading in readings if name in reading.values]


def _all(readings: Sequence[SensorReading]) -> Iterator[tuple[str, float]]:
    return ((name, value) for reading in readings for name, value in reading.values.items())
