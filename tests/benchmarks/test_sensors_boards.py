"""RAPL, Raspberry Pi, Jetson and NVIDIA: what boards print becomes values, or a reason why not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.host import Host, Stream, Unreadable
from edgeanim.benchmarks.sensors import get_sensor
from edgeanim.benchmarks.sensors.jetson import read_clocks, read_mode, read_release
from edgeanim.benchmarks.sensors.nvidia import LIBRARY
from edgeanim.benchmarks.sensors.raspberry_pi import read_bits, read_pmic

# As a Pi 5 prints it under load: 12 rails have both halves, EXT5V and BATT only a voltage.
PMIC = Path(__file__).with_name("pmic_read_adc.txt").read_text()


class Board(Host):
    """Files of a folder, and commands that print what they are given."""

    def __init__(self, root: Path, files: dict[str, str], commands: dict[str, str] | None = None):
        super().__init__(root)
        self.commands = commands or {}
        self.asked: list[str] = []
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    def run(self, *command: str) -> str:
        line = " ".join(command)
        self.asked.append(line)
        if line not in self.commands:
            raise Unreadable(f"{command[0]} is not installed")
        return self.commands[line]


RAPL = {
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "9000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "10000000\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "500000\n",
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": "10000000\n",
    "sys/class/powercap/intel-rapl-mmio:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl-mmio:0/energy_uj": "1\n",
}


def test_energy_counts_on_over_a_wrap(tmp_path: Path) -> None:
    sensor = get_sensor("rapl", Board(tmp_path, RAPL))
    assert sensor.read().values == {
        "rapl.package-0.energy_j": 0.0,
        "rapl.package-0.core.energy_j": 0.0,
    }
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    for energy, total in [(9_500_000, 0.5), (200_000, 1.2), (200_000, 1.2), (100_000, 11.1)]:
        counter.write_text(str(energy))
        assert sensor.read().values["rapl.package-0.energy_j"] == pytest.approx(total)


@given(st.lists(st.integers(0, 9_999_999), max_size=20))
def test_energy_never_falls(energies: list[int]) -> None:
    from edgeanim.benchmarks.sensors.rapl import _Meter

    meter = _Meter(1e7, 5e6)
    sums = [meter.count(energy) for energy in energies]
    assert sums == sorted(sums)
    assert all(
        (5_000_000 + total) % 10_000_000 == energy
        for total, energy in zip(sums, energies, strict=True)
    )


def test_rapl_that_only_root_may_read_says_so(tmp_path: Path) -> None:
    class Forbidden(Board):
        def text(self, name: str) -> str:
            if name.endswith("energy_uj"):
                raise Unreadable(f"/{name}: not allowed; root may read it")
            return super().text(name)

    snapshot = get_sensor("rapl", Forbidden(tmp_path, RAPL)).read()
    assert snapshot.values == {}
    assert "only root may read RAPL" in snapshot.missing[0]
    assert "no RAPL" in get_sensor("rapl", Host(tmp_path / "none")).read().missing[0]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("throttled=0x0", set()),
        ("throttled=0x50000", {"under_voltage_since_boot", "throttled_since_boot"}),
        (
            "throttled=0x50005\n",
            {
                "under_voltage_now",
                "throttled_now",
                "under_voltage_since_boot",
                "throttled_since_boot",
            },
        ),
        ("throttled=0x80008", {"soft_temp_limit_now", "soft_temp_limit_since_boot"}),
        (
            "throttled=0xd0000",
            {"under_voltage_since_boot", "throttled_since_boot", "soft_temp_limit_since_boot"},
        ),
        ("throttled=0x20000", {"freq_capped_since_boot"}),
        ("50005\n", {"under_voltage_now", "throttled_now", "under_voltage_since_boot",
                     "throttled_since_boot"}),
    ],
)  # fmt: skip
def test_throttling_bits(text: str, flags: set[str]) -> None:
    values = read_bits(text)
    assert len(values) == 8
    assert {name.removeprefix("pi.") for name, value in values.items() if value} == flags


def test_a_pi_5_gives_power_by_the_names_of_its_rails() -> None:
    values = read_pmic(PMIC)
    assert sum(name.endswith(".power_w") for name in values) == 12 + 1
    assert values["pi.power_w"] == pytest.approx(10.7999, abs=1e-4)
    assert values["pi.vdd_core.power_w"] == pytest.approx(10.87674 * 0.8974594)
    assert values["pi.ext5v_v"] == pytest.approx(5.06788)
    assert "pi.ext5v.power_w" not in values


@given(st.permutations(PMIC.splitlines()))
def test_the_order_of_the_rails_does_not_matter(lines: list[str]) -> None:
    assert read_pmic("\n".join(lines)) == pytest.approx(read_pmic(PMIC))


PI = {
    "vcgencmd get_throttled": "throttled=0x0\n",
    "vcgencmd measure_temp": "temp=42.8'C\n",
    "vcgencmd measure_volts": "volt=1.2000V\n",
    "vcgencmd measure_clock arm": "frequency(48)=1800457088\n",
}


def test_a_pi_4_has_no_power_and_is_asked_only_once(tmp_path: Path) -> None:
    model = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}
    refusal = 'error=1 error_msg="Command not registered"'
    board = Board(tmp_path, model, PI | {"vcgencmd pmic_read_adc": refusal})
    sensor = get_sensor("raspberry_pi", board)
    for _ in range(3):
        snapshot = sensor.read()
        assert "pi.power_w" not in snapshot.values
        assert snapshot.missing == (
            f"power: Raspberry Pi 4 Model B Rev 1.4 cannot measure its power "
            f"(vcgencmd pmic_read_adc said {refusal!r})",
        )
    assert board.asked.count("vcgencmd pmic_read_adc") == 1
    assert snapshot.values["pi.temp_c"] == 42.8
    assert snapshot.values["pi.core_v"] == 1.2
    assert snapshot.values["pi.arm_mhz"] == pytest.approx(1800.457088)


def test_without_vcgencmd_the_kernel_tells_of_throttling(tmp_path: Path) -> None:
    files = {"sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n"}
    snapshot = get_sensor("raspberry_pi", Board(tmp_path, files)).read()
    assert snapshot.values["pi.throttled_now"] == 1.0
    assert any("already" in reason for reason in snapshot.missing)
    assert any(reason.startswith("firmware clock: vcgencmd") for reason in snapshot.missing)


@settings(max_examples=30, deadline=None)
@given(command=st.sampled_from(sorted(PI)), text=st.text(max_size=30))
def test_nonsense_from_the_firmware_is_missing(
    command: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    board = Board(tmp_path_factory.mktemp("pi"), {}, PI | {command: text})
    snapshot = get_sensor("raspberry_pi", board).read()
    assert len(snapshot.values) >= 2


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
def test_clocks_fixed_or_free(text: str, says: str) -> None:
    assert read_clocks(text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NV Power Mode: 15W\n0\n", "15W (0)"),
        ("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER (2)"),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0\n", "MAXN (0)"),
    ],
)
def test_power_mode(text: str, says: str) -> None:
    assert read_mode(text) == says


def test_the_release_of_l4t() -> None:
    line = "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, DATE: x"
    assert read_release(line) == "36.4.7"
    for read in (read_release, read_mode, read_clocks):
        with pytest.raises(Unreadable):
            read("nonsense")


def test_a_jetsons_settings(tmp_path: Path) -> None:
    commands = {"nvpmodel -q": "NV Power Mode: 25W\n1\n"}
    settings, missing = get_sensor("jetson", Board(tmp_path, {}, commands)).read_settings()
    assert settings == {"power mode": "25W (1)"}
    assert missing[0] == "clocks: jetson_clocks is not installed"


def test_an_nvidia_gpu_is_read_by_its_library(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    library = tmp_path / "libfake.so"
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    sensor = get_sensor("nvidia", Host(tmp_path, libraries={LIBRARY: str(library)}))
    snapshot = sensor.read()
    limits = {n: v for n, v in snapshot.values.items() if "limited" in n and v}
    assert limits == {"nvidia.0.limited_by_heat_now": 1.0}
    assert {n: v for n, v in snapshot.values.items() if "limited" not in n} == {
        "nvidia.0.load_percent": 73.0,
        "nvidia.0.memory_load_percent": 21.0,
        "nvidia.0.memory_used_mb": 2048.0,
        "nvidia.0.memory_total_mb": 8192.0,
        "nvidia.0.temp_c": 61.0,
        "nvidia.0.power_w": 87.5,
        "nvidia.0.freq_mhz": 1410.0,
        "nvidia.0.memory_freq_mhz": 5001.0,
    }
    assert snapshot.missing == (
        "GPU energy: nvmlDeviceGetTotalEnergyConsumption answered with error 3",
    )
    assert sensor.read_settings() == ({"nvidia.0": "Fake GPU 9000"}, ())
    sensor.close()


def test_without_the_driver_every_part_says_so(tmp_path: Path) -> None:
    host = Host(tmp_path, libraries={LIBRARY: str(tmp_path / "absent.so")})
    snapshot = get_sensor("nvidia", host).read()
    assert snapshot.values == {}
    assert snapshot.missing[0] == f"GPU load: {LIBRARY} is not installed"


def test_commands_that_fail_say_how(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for command, says in [
        (("absent-tool",), "not installed"),
        (("sh", "-c", "echo no bus >&2; exit 3"), "ended with 3 and said: no bus"),
    ]:
        with pytest.raises(Unreadable, match=says):
            host.run(*command)
    with pytest.raises(Unreadable, match="not installed"):
        host.follow("absent-tool")


def test_a_command_that_keeps_printing_is_followed(tmp_path: Path) -> None:
    stream: Stream = Host(tmp_path).follow("sh", "-c", "echo one; echo two; printf par; sleep 60")
    for _ in range(200):
        try:
            if stream.latest() == "two\n":
                break
        except Unreadable:
            pass
        subprocess.run(["sleep", "0.01"], check=True)
    assert stream.latest() == "two\n"
    stream.close()
    with pytest.raises(Unreadable, match="ended"):
        stream.latest()
