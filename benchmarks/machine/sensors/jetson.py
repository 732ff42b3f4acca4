"""NVIDIA Jetson: load of the GPU, over-current events, the power mode and whether clocks are fixed.

Sources: NVIDIA's L4T guides ("Clock Frequency and Power Management", "nvpmodel", "jetson_clocks"),
the GPU's `load` file (permille) and devfreq, and the SOCTHERM over-current counters in hwmon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from edgeanim.benchmarks.machine.host import Host, Unreadable, number
from edgeanim.benchmarks.machine.sensors.base import Sensor, Texts, Values

_LOAD = (
    "sys/devices/platform/gpu.0/load",
    "sys/devices/gpu.0/load",
    "sys/class/devfreq/*gpu*/device/load",
    "sys/class/devfreq/*gv11b*/device/load",
    "sys/class/devfreq/*gp10b*/device/load",
)
_CLOCK = (
    "sys/class/devfreq/*gpu*/cur_freq",
    "sys/class/devfreq/*gv11b*/cur_freq",
    "sys/class/devfreq/*gp10b*/cur_freq",
    "sys/class/devfreq/*gm20b*/cur_freq",
)
_RELEASE = "etc/nv_tegra_release"
_LIMITS = re.compile(r"^(\w+):?\s.*?MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=(\d+)", re.MULTILINE)


class JetsonSensor(Sensor):
    """Values of the GPU and of over-current; settings `power mode`, `clocks` and `L4T`."""

    name: ClassVar[str] = "jetson"

    def parts(self) -> Sequence[tuple[str, Callable[[], Values]]]:
        return (
            ("GPU load", self._load),
            ("GPU clock", self._clock),
            ("over-current counters", self._over_current),
        )

    def settings(self) -> Sequence[tuple[str, Callable[[], Texts]]]:
        return (
            ("power mode", lambda: {"power mode": read_mode(self.host.run("nvpmodel", "-q"))}),
            ("clocks", lambda: {"clocks": read_clocks(self.host.run("jetson_clocks", "--show"))}),
            ("L4T release", lambda: {"L4T": read_release(self.host.text(_RELEASE))}),
        )

    def _load(self) -> Values:
        return {"jetson.gpu.load_percent": number(_first(self.host, _LOAD)) / 10}

    def _clock(self) -> Values:
        return {"jetson.gpu.freq_mhz": number(_first(self.host, _CLOCK)) / 1e6}

    def _over_current(self) -> Values:
        values: Values = {}
        for folder in self.host.hwmon("soctherm_oc"):
            for file in self.host.glob(f"{folder}/oc[0-9]*_event_cnt"):
                event = file.rpartition("/")[2].partition("_")[0]
                values[f"oc.{event}_count"] = number(self.host.text(file))
        if not values:
            raise Unreadable("no hwmon device is called soctherm_oc")
        return values


def read_mode(text: str) -> str:
    """The power mode by name and number, from `nvpmodel -q`: `MAXN_SUPER (2)`."""
    match = re.search(r"NV Power Mode: ?(\S+)\s+(\d+)\s*$", text)
    if match is None:
        raise Unreadable(f"nvpmodel said {text.strip()[:60]!r}")
    return f"{match[1]} ({match[2]})"


def read_clocks(text: str) -> str:
    """`fixed` if `jetson_clocks --show` has every clock's least and greatest alike, else which are
    `free` to change."""
    found = _LIMITS.findall(text)
    if not found:
        raise Unreadable(f"jetson_clocks said {text.strip()[:60]!r}")
    free = [name for name, low, high, _ in found if low != high]
    return f"free: {', '.join(free)}" if free else "fixed"


def read_release(text: str) -> str:
    """`36.4.7` from the first line of /etc/nv_tegra_release."""
    match = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if match is None:
        raise Unreadable(f"/{_RELEASE} is not in the documented form")
    return f"{match[1]}.{match[2]}"


def _first(host: Host, patterns: Sequence[str]) -> str:
    for pattern in patterns:
        for file in host.glob(pattern):
            return host.text(file)
    raise Unreadable("none of the known files is there")


SENSOR = JetsonSensor
