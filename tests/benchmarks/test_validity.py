from __future__ import annotations

import pytest

from edgeanim.benchmarks.circumstances import SensorReading
from edgeanim.benchmarks.validity import Clocks, judge

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


def test_a_clock_that_jumps_is_noticed() -> None:
    verdict = judge(_readings(), START, Clocks(2000.0, 60.0, 9.0))
    assert verdict.reasons == ("clock jump: the wall clock moved by +990.0 s",)


def test_a_governor_that_changes_is_noticed() -> None:
    verdict = judge(_readings(), START, END, ({"governor": "ondemand"}, {"governor": "powersave"}))
    assert verdict.reasons == ("governor changed from ondemand to powersave",)


def test_what_is_not_told_is_not_held_against_the_run() -> None:
    assert judge([], START, END).valid
    assert judge([SensorReading(0, {}), SensorReading(9, {})], START, END).valid
