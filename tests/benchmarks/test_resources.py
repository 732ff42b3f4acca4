from __future__ import annotations

from dataclasses import replace

import pytest

from edgeanim.benchmarks.machine.circumstances import SensorLog, SensorReading
from edgeanim.benchmarks.machine.resources import Resources, resources
from edgeanim.report.state import state_in_words
from edgeanim.report.table import table
from tests.benchmarks.synthetic import build_report


def _log(sensor: str, *readings: dict[str, float]) -> SensorLog:
    each = tuple(SensorReading(10.0 * at, values) for at, values in enumerate(readings))
    return SensorLog(sensor, each, (), {})


PI = _log(
    "raspberry_pi",
    {"pi.power_w": 4.0, "pi.temp_c": 50.0},
    {"pi.power_w": 8.0, "pi.temp_c": 61.0},
    {"pi.temp_c": 58.0},
)
CLOCKS = _log(
    "thermal",
    {"cpu0.freq_mhz": 1000.0, "cpu1.freq_mhz": 2400.0},
    {"cpu0.freq_mhz": 1000.0, "cpu1.freq_mhz": 2000.0},
)


def test_means_over_the_run_and_the_hottest_look() -> None:
    assert resources([PI, CLOCKS]) == Resources(
        power_w=6.0,
        power_of="the sum of the rails",
        hottest_c=61.0,
        hottest_zone="pi",
        clock_mhz=2200.0,
        gpu_load_percent=None,
    )


def test_means_are_over_time_however_the_looks_are_spread() -> None:
    """Looks come more often between rounds, where nothing is timed and the board idles."""
    looks = ((0.0, 2.0), (1.0, 2.0), (1.5, 2.0), (2.0, 2.0), (12.0, 8.0), (22.0, 8.0))
    log = SensorLog(
        "raspberry_pi",
        tuple(SensorReading(at, {"pi.power_w": w, "cpu0.freq_mhz": 100 * w}) for at, w in looks),
        (),
        {},
    )
    seen = resources([log])
    assert seen.power_w == pytest.approx((2 * 2 + 5 * 10 + 8 * 10) / 22)
    assert seen.clock_mhz == pytest.approx(100 * (2 * 2 + 5 * 10 + 8 * 10) / 22)


def test_energy_of_packages_becomes_power_and_parts_are_not_counted_twice() -> None:
    log = _log(
        "rapl",
        {"rapl.package-0.energy_j": 0.0, "rapl.package-0.core.energy_j": 0.0},
        {"rapl.package-0.energy_j": 150.0, "rapl.package-0.core.energy_j": 90.0},
    )
    assert resources([log]).power_w == pytest.approx(15.0)
    assert resources([log]).power_of == "the processor's package"
    dies = [f"rapl.package-0-die-{die}.energy_j" for die in range(2)]
    several = _log("rapl", dict.fromkeys(dies, 0.0), dict.fromkeys(dies, 150.0))
    assert resources([several]).power_w == pytest.approx(30.0)
    once = SensorReading(5.0, {"rapl.package-0.energy_j": 3.0})
    for readings in ((once,), (once, once)):
        assert resources([SensorLog("rapl", readings, (), {})]).power_w is None


def test_what_no_sensor_told_is_none() -> None:
    assert resources([]) == Resources(None, None, None, None, None, None)


@pytest.mark.parametrize(
    ("zone", "celsius", "hottest"),
    [
        ("tegra.pmic", 100.0, "tegra.cpu"),
        ("thermal_zone4.PMIC-Die", 50.0, "tegra.cpu"),
        ("thermal_zone4.PMIC-Die", 120.0, "thermal_zone4.PMIC-Die"),
    ],
)
def test_a_jetsons_pmic_is_not_the_hottest_until_it_tells_its_heat(
    zone: str, celsius: float, hottest: str
) -> None:
    """Below 120 C it has no register for it, and a constant is printed instead."""
    log = _log("tegrastats", {f"{zone}.temp_c": celsius, "tegra.cpu.temp_c": 40.5})
    assert resources([log]).hottest_zone == hottest


def test_the_state_in_words() -> None:
    gpu = _log("jetson", {"jetson.gpu.load_percent": 30.0}, {"jetson.gpu.load_percent": 50.0})
    report = replace(build_report(), sensors=(PI, CLOCKS, gpu))
    assert state_in_words(report) == (
        "6.0 W (the sum of the rails), at most 61 °C (pi), 2200 MHz, GPU busy 40 %"
    )
    assert state_in_words(replace(report, sensors=(CLOCKS,))) == "2200 MHz, power unknown"
    assert state_in_words(replace(report, sensors=())) is None
    assert "Over the run: 6.0 W (the sum of the rails)" in table(report)
    assert "Over the run" not in table(replace(report, sensors=()))
