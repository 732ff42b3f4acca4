"""Jetson and NVIDIA's GPUs: what they print becomes values, or a reason why not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeanim.benchmarks.machine.host import Host, Unreadable
from edgeanim.benchmarks.machine.sensors import get_sensor
from edgeanim.benchmarks.machine.sensors.jetson import read_clocks, read_mode, read_release
from edgeanim.benchmarks.machine.sensors.nvidia import LIBRARY
from tests.benchmarks.still_board import Board

HWMON = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"


INA = {
    f"{HWMON}/in1_label": "VDD_IN\n",
    f"{HWMON}/in1_input": "5080\n",
    f"{HWMON}/curr1_input": "984\n",
    f"{HWMON}/curr1_max_alarm": "0\n",
    f"{HWMON}/curr1_crit_alarm": "1\n",
    f"{HWMON}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{HWMON}/in2_input": "5072\n",
    f"{HWMON}/curr2_input": "104\n",
    f"{HWMON}/in3_label": "NC\n",
    f"{HWMON}/in7_label": "sum of shunt voltages\n",
    f"{HWMON}/in7_input": "77\n",
}


def test_power_rails_of_a_newer_kernel(tmp_path: Path) -> None:
    snapshot = get_sensor("ina3221", Board(tmp_path, INA)).read()
    assert snapshot.values == {
        "ina.vdd_in_v": 5.08,
        "ina.vdd_in_a": 0.984,
        "ina.vdd_in.power_w": pytest.approx(4.99872),
        "ina.vdd_in_alarm": 1.0,
        "ina.vdd_cpu_gpu_cv_v": 5.072,
        "ina.vdd_cpu_gpu_cv_a": 0.104,
        "ina.vdd_cpu_gpu_cv.power_w": pytest.approx(0.527488),
        "ina.power_w": pytest.approx(4.99872),
    }


def test_power_rails_of_the_older_kernel(tmp_path: Path) -> None:
    folder = "sys/bus/i2c/devices/6-0040/iio:device0"
    files = {
        f"{folder}/rail_name_0": "POM_5V_IN\n",
        f"{folder}/in_voltage0_input": "5000\n",
        f"{folder}/in_current0_input": "400\n",
        f"{folder}/in_power0_input": "2000\n",
        f"{folder}/rail_name_1": "POM_5V_GPU\n",
    }
    snapshot = get_sensor("ina3221", Board(tmp_path, files)).read()
    assert snapshot.values["ina.pom_5v_in.power_w"] == snapshot.values["ina.power_w"] == 2.0
    assert not any("gpu" in name for name in snapshot.values)
    assert get_sensor("ina3221", Host(tmp_path / "none")).read().missing


@pytest.mark.parametrize(
    "path",
    [
        "sys/devices/gpu.0/load",
        "sys/devices/platform/gpu.0/load",
        "sys/class/devfreq/17000000.gpu/device/load",
    ],
)
def test_load_of_a_jetsons_gpu(tmp_path: Path, path: str) -> None:
    assert get_sensor("jetson", Board(tmp_path, {path: "634\n"})).read().values == {
        "jetson.gpu.load_percent": 63.4
    }


def test_over_current_is_counted_for_its_own_device_only(tmp_path: Path) -> None:
    files = {
        "sys/class/hwmon/hwmon0/name": "ina3221\n",
        "sys/class/hwmon/hwmon4/name": "soctherm_oc\n",
        "sys/class/hwmon/hwmon4/oc1_event_cnt": "0\n",
        "sys/class/hwmon/hwmon4/oc3_event_cnt": "17\n",
    }
    values = get_sensor("jetson", Board(tmp_path, files)).read().values
    assert values == {"oc.oc1_count": 0.0, "oc.oc3_count": 17.0}


CLOCKS_6 = """SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano Engineering Reference
cpu0:  Governor=schedutil MinFreq=729600 MaxFreq=1344000 CurrentFreq=960000 IdleStates: WFI=1 c7=1
GPU MinFreq=306000000 MaxFreq=918000000 CurrentFreq=306000000
EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=665600000
"""


CLOCKS_4 = """cpu0: Online=1 Governor=schedutil MinFreq=1428000 MaxFreq=1428000 CurrentFreq=1428000
GPU MinFreq=921600000 MaxFreq=921600000 CurrentFreq=921600000
EMC MinFreq=204000000 MaxFreq=1600000000 CurrentFreq=1600000000 FreqOverride=0
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CLOCKS_6, "free: cpu0, GPU, EMC"),
        (CLOCKS_4, "free: EMC"),
        (CLOCKS_4.replace("MinFreq=204000000", "MinFreq=1600000000"), "fixed"),
    ],
)
def test_clocks_that_are_not_fixed_are_named(text: str, says: str) -> None:
    assert read_clocks(text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NV Power Mode: 15W\n0\n", "15W (0)"),
        ("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER (2)"),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0\n", "MAXN (0)"),
    ],
)
def test_the_power_mode_is_read_with_its_number(text: str, says: str) -> None:
    assert read_mode(text) == says


def test_the_release_of_l4t() -> None:
    line = "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, DATE: x"
    assert read_release(line) == "36.4.7"
    for read in (read_release, read_mode, read_clocks):
        with pytest.raises(Unreadable):
            read("nonsense")


def test_a_jetson_tells_its_power_mode_even_where_its_clocks_cannot_be_asked(
    tmp_path: Path,
) -> None:
    commands = {"nvpmodel -q": "NV Power Mode: 25W\n1\n"}
    settings, missing = get_sensor("jetson", Board(tmp_path, {}, commands)).read_settings()
    assert settings == {"power mode": "25W (1)"}
    assert missing[0] == "clocks: jetson_clocks is not installed"


def test_nvidia_gpus_are_read_by_their_library(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    library = tmp_path / "libfake.so"
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    sensor = get_sensor("nvidia", Host(tmp_path, libraries={LIBRARY: str(library)}))
    snapshot = sensor.read()
    limits = {n: v for n, v in snapshot.values.items() if "limited" in n and v}
    assert limits == {f"nvidia.{gpu}.limited_by_heat_now": 1.0 for gpu in (0, 1)}
    known = {
        "load_percent": 73.0,
        "memory_load_percent": 21.0,
        "memory_used_mb": 2048.0,
        "memory_total_mb": 8192.0,
        "temp_c": 61.0,
        "freq_mhz": 1410.0,
        "memory_freq_mhz": 5001.0,
    }
    # What one of them does not know is told of the other all the same.
    assert {n: v for n, v in snapshot.values.items() if "limited" not in n} == {
        "nvidia.0.power_w": 87.5,
        **{f"nvidia.{gpu}.{name}": value for gpu in (0, 1) for name, value in known.items()},
    }
    assert set(snapshot.missing) == {
        "GPU 0 energy: nvmlDeviceGetTotalEnergyConsumption answered with error 3",
        "GPU 1 energy: nvmlDeviceGetTotalEnergyConsumption answered with error 3",
        "GPU 1 power: nvmlDeviceGetPowerUsage answered with error 3",
    }
    names = {"nvidia.0": "Fake GPU 9000", "nvidia.1": "Fake GPU 9000"}
    assert sensor.read_settings() == (names, ())
    sensor.close()


def test_without_the_driver_every_part_says_so(tmp_path: Path) -> None:
    host = Host(tmp_path, libraries={LIBRARY: str(tmp_path / "absent.so")})
    snapshot = get_sensor("nvidia", host).read()
    assert snapshot.values == {}
    assert snapshot.missing[0] == f"GPU load: {LIBRARY} is not installed"


class _Library:
    """An NVML of an own making: functions that are not named here it does not have."""

    def __init__(self, **statuses: int) -> None:
        self.begun = self.ended = 0
        for name, status in statuses.items():
            setattr(self, name, lambda *_, status=status: status)

    def nvmlInit_v2(self) -> int:  # noqa: N802 NVML's name
        self.begun += 1
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802 NVML's name
        self.ended += 1
        return 0


def test_a_function_that_this_nvml_lacks_is_missing_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Host, "library", lambda *_: _Library())
    snapshot = get_sensor("nvidia").read()
    assert not snapshot.values
    assert "GPU load: this NVML has no nvmlDeviceGetCount_v2" in snapshot.missing


def test_a_gpu_that_is_lost_is_the_reason_at_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not at the first alone, after which there would seem to be no GPU."""
    library = _Library(nvmlDeviceGetCount_v2=15)
    monkeypatch.setattr(Host, "library", lambda *_: library)
    sensor = get_sensor("nvidia")
    missing = sensor.read().missing
    assert len(missing) > 1
    assert all("nvmlDeviceGetCount_v2 answered with error 15" in reason for reason in missing)
    sensor.close()
    assert library.ended == library.begun > 0
