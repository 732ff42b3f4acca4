from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.machine.environment import describe
from edgeanim.benchmarks.machine.host import Host
from edgeanim.benchmarks.machine.sensors import get_sensor, sensor_names
from edgeanim.benchmarks.machine.sensors.base import Snapshot
from edgeanim.core.errors import UsageError
from edgeanim.targets.board import GENERIC_SENSORS, SENSORS
from tests.files import lay_out

# A made-up board with everything; sysfs and procfs in the documented forms.
FILES = {
    "proc/stat": "cpu  1000 0 500 9000 100 10 20 30 0 0\ncpu0 600 0 300 4000 50 5 10 20 0 0\n"
    "cpu1 400 0 200 5000 50 5 10 10 0 0\nintr 1 2 3\nbtime 1\n",
    "proc/loadavg": "0.52 0.40 0.30 1/200 4242\n",
    "proc/meminfo": "MemTotal: 4096000 kB\nMemAvailable: 2048000 kB\nSwapTotal: 1024000 kB\n"
    "SwapFree: 512000 kB\nHugePages_Total: 0\n",
    "proc/self/task/7/children": "12 13 14 ",
    "proc/12/status": "Name:\tpython\nVmRSS:\t  102400 kB\nVmSwap:\t    2048 kB\n",
    "proc/13/status": "Name:\tpython\nVmRSS:\t  51200 kB\n",
    "proc/vmstat": "nr_free_pages 1\npswpin 7\npswpout 9\npgfault 4\npgmajfault 3\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "4\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 2\nthrottled_usec 500000\n",
    "sys/fs/cgroup/memory.max": "536870912\n",
}


def host_of(root: Path, files: dict[str, str]) -> Host:
    return Host(lay_out(root, files))


def read(host: Host, *names: str) -> Snapshot:
    each = [get_sensor(name, host).read() for name in names or GENERIC_SENSORS]
    values = {name: value for one in each for name, value in one.values.items()}
    return Snapshot(values, tuple(reason for one in each for reason in one.missing))


def test_a_board_that_tells_everything_is_read(tmp_path: Path) -> None:
    snapshot = read(host_of(tmp_path, FILES))
    assert snapshot.missing == ()
    tick = snapshot.values["cpu.busy_s"] / 1530
    assert snapshot.values["cpu0.busy_s"] == pytest.approx(915 * tick)
    assert snapshot.values["cpu.steal_s"] == pytest.approx(30 * tick)
    expected = {
        "load.runnable_1m": 0.52,
        "cpu0.freq_mhz": 1500.0,
        "cpu1.freq_mhz": 600.0,
        "thermal_zone0.cpu-thermal.temp_c": 48.312,
        "cpu0.throttle_count": 4.0,
        "psi.cpu.some_s": 2.5,
        "psi.memory.full_s": 1.0,
        "cgroup.cpu_limit_cores": 1.5,
        "cgroup.throttled_s": 0.5,
        "cgroup.memory_limit_mb": 512.0,
        "memory.available_mb": 2000.0,
        "swap.used_mb": 500.0,
        "swap.out_pages": 9.0,
        "faults.major_count": 3.0,
        "workers.count": 2.0,
        "workers.rss_mb": 150.0,
        "workers.swap_mb": 2.0,
    }
    assert {name: snapshot.values.get(name) for name in expected} == expected


def test_the_first_generation_of_cgroups_is_read(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 2000000000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    values = read(host_of(tmp_path, files), "cgroup").values
    assert values == {"cgroup.cpu_limit_cores": 0.5, "cgroup.throttled_s": 2.0}


def test_a_group_below_the_top_is_held_to_its_own_limits_and_to_those_above(
    tmp_path: Path,
) -> None:
    """As `systemd-run -p CPUQuota=50%` makes one: the top itself has no limit, nor such a file."""
    group = "sys/fs/cgroup/user.slice/run-u1.scope"
    files = {
        "proc/self/cgroup": "0::/user.slice/run-u1.scope\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
        f"{group}/cpu.max": "50000 100000\n",
        f"{group}/cpu.stat": "usage_usec 5\nthrottled_usec 2000000\n",
        f"{group}/memory.max": "max\n",
        "sys/fs/cgroup/user.slice/cpu.max": "400000 100000\n",
        "sys/fs/cgroup/user.slice/cpu.stat": "throttled_usec 500000\n",
        "sys/fs/cgroup/user.slice/memory.max": "536870912\n",
        "sys/fs/cgroup/other.slice/cpu.max": "1000 100000\n",
    }
    assert read(host_of(tmp_path, files), "cgroup").values == {
        "cgroup.cpu_limit_cores": 0.5,
        "cgroup.throttled_s": 2.5,
        "cgroup.memory_limit_mb": 512.0,
    }


def test_the_first_generation_has_a_place_for_each_controller(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/b/c\n1:name=systemd:/a\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/b/c/cpu.cfs_quota_us": "25000\n",
        "sys/fs/cgroup/cpu/b/c/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu/b/c/cpu.stat": "throttled_time 1000000000\n",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "268435456\n",
    }
    assert read(host_of(tmp_path, files), "cgroup").values == {
        "cgroup.cpu_limit_cores": 0.25,
        "cgroup.throttled_s": 1.0,
        "cgroup.memory_limit_mb": 256.0,
    }


@pytest.mark.parametrize("place", ["/docker/0123", "/../../outside", "/"])
def test_a_container_that_is_told_a_place_it_does_not_see_reads_its_top(
    tmp_path: Path, place: str
) -> None:
    files = {"proc/self/cgroup": f"0::{place}\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}
    assert read(host_of(tmp_path, files), "cgroup").values == {"cgroup.cpu_limit_cores": 1.5}


def test_a_quota_of_no_period_is_told_of_and_no_value(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "150000 0\n"}
    snapshot = read(host_of(tmp_path, files), "cgroup")
    assert snapshot.values == {}
    assert "a period of 0 us is none" in " ".join(snapshot.missing)


def test_no_limit_is_no_value(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}
    assert read(host_of(tmp_path, files), "cgroup").values == {}


def test_cores_that_are_off_with_their_cluster_hide_nothing_of_the_others(tmp_path: Path) -> None:
    host = host_of(tmp_path, FILES)
    for name in ("scaling_cur_freq", "scaling_governor"):
        (tmp_path / f"sys/devices/system/cpu/cpu8/cpufreq/{name}").mkdir(parents=True)
    sensor = get_sensor("thermal", host)
    snapshot = sensor.read()
    assert (snapshot.values["cpu1.freq_mhz"], snapshot.missing) == (600.0, ())
    assert sensor.read_settings() == ({"governor": "ondemand"}, ())


def test_a_zone_without_power_has_no_temperature_from_which_it_could_rise(tmp_path: Path) -> None:
    zone = {"sys/class/thermal/thermal_zone2/type": "gpu-thermal\n"}
    zone["sys/class/thermal/thermal_zone2/temp"] = "-256000\n"
    values = read(host_of(tmp_path, FILES | zone), "thermal").values
    heat = {name: value for name, value in values.items() if name.endswith("temp_c")}
    assert heat == {"thermal_zone0.cpu-thermal.temp_c": 48.312}


def test_an_empty_machine_says_what_it_lacks_and_invents_nothing(tmp_path: Path) -> None:
    snapshot = read(Host(tmp_path))
    assert snapshot.values == {}
    assert len(snapshot.missing) == 10
    assert any(reason.startswith("temperature: ") for reason in snapshot.missing)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(sorted(FILES)),
    st.sampled_from(["", "\n", "nan", "inf", "x y z", "cpu 1", "some total=", "\x00", "1e999"])
    | st.text(max_size=30),
)
def test_damage_becomes_missing_never_a_crash(tmp_path: Path, name: str, text: str) -> None:
    snapshot = read(host_of(tmp_path, FILES | {name: text}))
    assert all(math.isfinite(value) for value in snapshot.values.values())


def test_this_machine_is_read() -> None:
    values = read(Host()).values
    assert values["cpu.busy_s"] > 0
    assert values["memory.available_mb"] > 0


def test_sensors_are_found_by_name() -> None:
    assert set(sensor_names()) == set(SENSORS)
    for name in sensor_names():
        assert get_sensor(name).name == name
    with pytest.raises(UsageError, match="'linux'"):
        get_sensor("linus")


def test_the_environment_names_this_machine() -> None:
    one, other = describe(), describe()
    assert one.machine == other.machine
    assert one.cores >= 1
    assert one.packages["numpy"]


def test_the_processor_and_governor_are_read_where_they_are_told(tmp_path: Path) -> None:
    lay_out(tmp_path, FILES)
    assert describe(tmp_path).governor == "ondemand"
    (tmp_path / "proc/cpuinfo").write_text("processor: 0\nModel\t\t: Raspberry Pi 4 Model B\n")
    assert describe(tmp_path).cpu_model == "Raspberry Pi 4 Model B"
    nowhere = describe(tmp_path / "nowhere")
    assert (nowhere.cpu_model, nowhere.governor) == (None, None)
