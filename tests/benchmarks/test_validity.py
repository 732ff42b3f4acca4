from __future__ import annotations

import pytest

from edgeanim.benchmarks.machine.circumstances import SensorReading
from edgeanim.benchmarks.machine.host import Clocks
from edgeanim.benchmarks.machine.validity import judge

START = Clocks(wall=1000.0, steady=50.0, own_cpu=1.0)
END = Clocks(wall=1010.0, steady=60.0, own_cpu=9.0)
CALM = {
    "cpu.busy_s": 8.5,
    "cpu.steal_s": 0.0,
    "swap.out_pages": 0.0,
    "psi.memory.full_s": 0.0,
    "cpu0.throttle_count": 0.0,
    "cgroup.throttled_s": 0.0,
}


def _readings(**growth: float) -> list[SensorReading]:
    first = dict.fromkeys(CALM, 100.0)
    last = {name: 100.0 + (CALM | growth)[name] for name in CALM}
    return [SensorReading(0.0, first), SensorReading(10.0, last)]


def test_a_calm_run_is_valid() -> None:
    assert judge(_readings(), START, END).valid


@pytest.mark.parametrize(
    ("name", "growth", "reason"),
    [
        ("cpu.busy_s", 11.0, "foreign load: other processes kept 0.30 cores busy"),
        ("cpu.steal_s", 0.2, "stolen time"),
        ("swap.out_pages", 1.0, "swapping"),
        ("psi.memory.full_s", 0.5, "memory pressure"),
        ("cpu0.throttle_count", 2.0, "throttled by heat: cpu0"),
        ("cgroup.throttled_s", 0.1, "CPU quota"),
    ],
)
def test_each_disturbance_is_named(name: str, growth: float, reason: str) -> None:
    verdict = judge(_readings(**{name: growth}), START, END)
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


@pytest.mark.parametrize(
    ("name", "growth"),
    [("cpu.busy_s", 9.5), ("cpu.steal_s", 0.1), ("psi.memory.full_s", 0.1)],
)
def test_as_much_as_is_allowed_is_allowed(name: str, growth: float) -> None:
    # Of numbers that floats hold to the last bit: 10 s in which this process worked for 8.
    first, last = dict.fromkeys(CALM, 0.0), dict.fromkeys(CALM, 0.0) | {"cpu.busy_s": 8.0}
    readings = [SensorReading(0.0, first), SensorReading(10.0, last | {name: growth})]
    assert judge(readings, START, END).valid


def test_a_run_that_took_no_time_has_nothing_held_against_it() -> None:
    assert judge(_readings(**{"psi.memory.full_s": 1.0, "cpu.steal_s": 1.0}), START, START).valid


def test_a_clock_that_jumps_is_noticed() -> None:
    verdict = judge(_readings(), START, Clocks(2000.0, 60.0, 9.0))
    assert verdict.reasons == ("clock jump: the wall clock moved by +990.0 s",)
    verdict = judge(_readings(), START, Clocks(1004.0, 60.0, 9.0))
    assert verdict.reasons == ("clock jump: the wall clock moved by -6.0 s",)
    for allowed in (1009.5, 1010.5):
        assert judge(_readings(), START, Clocks(allowed, 60.0, 9.0)).valid
    for jumped in (1009.25, 1010.75):
        assert not judge(_readings(), START, Clocks(jumped, 60.0, 9.0)).valid


def test_a_governor_that_changes_is_noticed() -> None:
    verdict = judge(_readings(), START, END, ({"governor": "ondemand"}, {"governor": "powersave"}))
    assert verdict.reasons == ("governor changed from ondemand to powersave",)


def test_what_is_not_told_is_not_held_against_the_run() -> None:
    assert judge([], START, END).valid
    assert judge([SensorReading(0, {}), SensorReading(9, {})], START, END).valid


def _over(name: str, *values: float) -> list[SensorReading]:
    return [SensorReading(float(at), {name: value}) for at, value in enumerate(values)]


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        (_over("swap.used_mb", 10, 30), "swapping: the swap in use grew by 20 MB"),
        (_over("pi.throttled_now", 0, 1, 0), "throttled by the firmware (at 1 of 3 looks)"),
        (
            _over("pi.under_voltage_now", 1, 1),
            "under-voltage: the power supply is too weak (at 2 of 2 looks)",
        ),
        (
            _over("pi.freq_capped_since_boot", 0, 1),
            "the firmware capped the clock (between two looks)",
        ),
        (_over("ina.vdd_in_alarm", 0, 1, 0), "alarm: ina.vdd_in beyond the limit"),
        (_over("oc.oc3_count", 2, 5), "over-current: the board throttled itself (oc3)"),
        (
            _over("nvidia.0.limited_by_heat_now", 0, 1),
            "the GPU's clock was held back by heat",
        ),
        (
            _over("thermal_zone0.cpu-thermal.temp_c", 50, 80, 70),
            "thermal state unlike the start: thermal_zone0.cpu-thermal went from 50 to 70 C",
        ),
        (
            _over("pi.temp_c", 70, 50),
            "thermal state unlike the start: pi went from 70 to 50 C",
        ),
        (_over("cpu1.package_count", 4, 5), "throttled by heat: cpu1"),
        (
            [
                SensorReading(at, {"cpu0.throttle_count": at, "cpu0.package_count": at})
                for at in (0.0, 1.0)
            ],
            "throttled by heat: cpu0",
        ),
    ],
)
def test_what_boards_tell_is_judged(readings: list[SensorReading], reason: str) -> None:
    assert judge(readings, START, END).reasons == (reason,)


@pytest.mark.parametrize(
    "readings",
    [
        _over("swap.used_mb", 30, 10),
        _over("pi.throttled_since_boot", 1, 1),
        _over("oc.oc3_count", 5, 5),
        _over("thermal_zone0.cpu-thermal.temp_c", 50, 80, 60),
        _over("pi.throttled_now", 0, 0),
    ],
)
def test_what_was_so_before_or_is_small_is_no_reason(readings: list[SensorReading]) -> None:
    assert judge(readings, START, END).valid


def test_a_recording_is_never_a_valid_measurement() -> None:
    verdict = judge(_readings(), START, END, replayed="my-pi")
    assert verdict.reasons == (
        "replayed: the sensors read the recording 'my-pi', not this machine",
    )


def test_every_setting_that_changes_is_named() -> None:
    before = {"governor": "performance", "power mode": "15W (0)", "L4T": "36.4.7"}
    after = {"governor": "performance", "power mode": "25W (1)"}
    assert judge(_readings(), START, END, (before, after)).reasons == (
        "power mode changed from 15W (0) to 25W (1)",
        "L4T changed from 36.4.7 to None",
    )


def test_a_soak_may_warm_up_but_not_throttle() -> None:
    warm = [
        SensorReading(0.0, {"cpu.temp_c": 45.0, "cpu0.throttle_count": 0.0}),
        SensorReading(4.0, {"cpu.temp_c": 50.0, "cpu0.throttle_count": 0.0}),
        SensorReading(9.0, {"cpu.temp_c": 80.0, "cpu0.throttle_count": 0.0}),
    ]
    assert "thermal state unlike the start" in judge(warm, START, END).reasons[0]
    assert judge(warm, START, END, warms_from=4.0).valid
    # What came before the soak is held to its own start.
    assert not judge(warm, START, END, warms_from=9.0).valid
    hot = [*warm, SensorReading(10.0, {"cpu.temp_c": 95.0, "cpu0.throttle_count": 3.0})]
    assert judge(hot, START, END, warms_from=4.0).reasons == ("throttled by heat: cpu0",)
