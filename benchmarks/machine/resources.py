"""What the machine spent while it was measured, out of the sensors' logs. Pure functions.

Means are over the time of the whole run, its loading and warm-up included. What no sensor told is
`None`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgeanim.benchmarks.machine.circumstances import SensorLog

# One rail or sum for all of the board, the most complete first; what it counts in words.
_POWER = (
    ("pi.power_w", "the sum of the rails"),
    ("ina.power_w", "the board's input"),
    ("tegra.vdd_in.power_w", "the board's input"),
    ("tegra.pom_5v_in.power_w", "the board's input"),
)
# Where a package has several dies, each has a counter (intel_rapl_common.c).
_PACKAGE = re.compile(r"rapl\.package-\d+(-die-\d+)?\.energy_j")
_CORE_CLOCK = re.compile(r"cpu\d+\.freq_mhz")
# No register of a Jetson's PMIC tells its temperature: JetPack 4 and 5 print 50 or 100 C until it
# passes 120 C (an NVIDIA engineer in the Jetson forum, topic 121300).
_PMIC = re.compile(r"tegra\.pmic\.temp_c|thermal_zone\d+\.PMIC-Die\.temp_c")
_PMIC_MADE_UP_C = 100.0
_GPU_LOAD = re.compile(r"(jetson\.gpu|tegra\.gpu|nvidia\.\d+)\.load_percent")

# What was read of one thing: seconds into the run, and the value.
Points = list[tuple[float, float]]
Series = dict[str, Points]


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
    series = _series(logs)
    power_w, power_of = _power(series)
    values = [(value, name) for name, points in series.items() for _, value in points]
    hottest_c, hottest_zone = max((v for v in values if _is_heat(*v)), default=(None, ""))
    return Resources(
        power_w=power_w,
        power_of=power_of,
        hottest_c=hottest_c,
        hottest_zone=hottest_zone.removesuffix("temp_c").strip("._") or None,
        clock_mhz=_greatest_mean(series, _CORE_CLOCK),
        gpu_load_percent=_greatest_mean(series, _GPU_LOAD),
    )


def _series(logs: Sequence[SensorLog]) -> Series:
    series: Series = {}
    for log in logs:
        for reading in log.readings:
            for name, value in reading.values.items():
                series.setdefault(name, []).append((reading.at_s, value))
    return series


def _is_heat(value: float, name: str) -> bool:
    """Whether this is a temperature, and a measured one."""
    made_up = value <= _PMIC_MADE_UP_C and _PMIC.fullmatch(name) is not None
    return name.endswith("temp_c") and not made_up


def _power(series: Series) -> tuple[float | None, str | None]:
    """The watts, and what they count."""
    for name, what in _POWER:
        if name in series:
            return _mean(series[name]), what
    watts = [_slope(series[name]) for name in sorted(series) if _PACKAGE.fullmatch(name)]
    known = [value for value in watts if value is not None]
    if not known or len(known) < len(watts):
        return None, None
    return sum(known), "the processor's package"


def _slope(points: Points) -> float | None:
    """Growth of a counter per second."""
    (began, first), (ended, last) = points[0], points[-1]
    return (last - first) / (ended - began) if ended > began else None


def _greatest_mean(series: Series, pattern: re.Pattern[str]) -> float | None:
    means = (_mean(points) for name, points in series.items() if pattern.fullmatch(name))
    return max(means, default=None)


def _mean(points: Points) -> float:
    """The mean over time of what is taken to change evenly from look to look: looks come more
    often between rounds, where nothing is timed."""
    span = points[-1][0] - points[0][0]
    if span <= 0:
        return sum(value for _, value in points) / len(points)
    steps = itertools.pairwise(points)
    return sum((t - s) * (a + b) / 2 for (s, a), (t, b) in steps) / span
