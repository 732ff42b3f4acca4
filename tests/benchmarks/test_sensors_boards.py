"""RAPL and Raspberry Pi: what they print becomes values, or a reason why not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.machine.host import Host, Stream, Unreadable
from edgeanim.benchmarks.machine.sensors import get_sensor
from edgeanim.benchmarks.machine.sensors.raspberry_pi import read_bits, read_pmic
from tests.benchmarks.still_board import Board

# As a Pi 5 prints it under load: 12 rails have both halves, EXT5V and BATT only a voltage.
PMIC = Path(__file__).with_name("pmic_read_adc.txt").read_text()


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
    from edgeanim.benchmarks.machine.sensors.rapl import _Meter

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
def test_each_throttling_bit_is_a_flag(text: str, flags: set[str]) -> None:
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


def test_a_pi_5_that_once_answers_too_late_is_asked_again(tmp_path: Path) -> None:
    answers = PI | {"vcgencmd pmic_read_adc": PMIC}
    sensor = get_sensor("raspberry_pi", Board(tmp_path, {}, answers))
    assert "pi.power_w" in sensor.read().values
    late = get_sensor("raspberry_pi", Board(tmp_path, {}, PI)).host
    sensor.host, here = late, sensor.host
    snapshot = sensor.read()
    assert "pi.power_w" not in snapshot.values
    assert not any("cannot measure" in reason for reason in snapshot.missing)
    sensor.host = here
    assert "pi.power_w" in sensor.read().values


@pytest.mark.parametrize(
    "file",
    ["soc/soc:firmware/get_throttled", "soc@107c000000/soc@107c000000:firmware/get_throttled"],
)
def test_without_vcgencmd_the_kernel_tells_of_throttling(file: str, tmp_path: Path) -> None:
    files = {f"sys/devices/platform/{file}": "50005\n"}
    snapshot = get_sensor("raspberry_pi", Board(tmp_path, files)).read()
    assert snapshot.values["pi.throttled_now"] == 1.0
    assert any("already" in reason for reason in snapshot.missing)
    assert any(reason.startswith("firmware clock: vcgencmd") for reason in snapshot.missing)


@pytest.mark.parametrize("alarm", [0, 1])
def test_without_the_firmwares_bits_a_kernel_tells_of_under_voltage(
    alarm: int, tmp_path: Path
) -> None:
    hwmon = {
        "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
        "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
        "sys/class/hwmon/hwmon1/in0_lcrit_alarm": f"{alarm}\n",
    }
    snapshot = get_sensor("raspberry_pi", Board(tmp_path, hwmon)).read()
    assert snapshot.values == {"pi.under_voltage_now": alarm}
    assert any(reason.startswith("throttling: ") for reason in snapshot.missing)
    # Beside the firmware's bits it adds nothing.
    board = Board(tmp_path, hwmon, PI)
    assert get_sensor("raspberry_pi", board).read().values["pi.under_voltage_now"] == 0.0


@settings(max_examples=30, deadline=None)
@given(command=st.sampled_from(sorted(PI)), text=st.text(max_size=30))
def test_nonsense_from_the_firmware_is_missing(
    command: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    board = Board(tmp_path_factory.mktemp("pi"), {}, PI | {command: text})
    snapshot = get_sensor("raspberry_pi", board).read()
    assert len(snapshot.values) >= 2


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
