"""Every form of tegrastats' line is understood to the last word."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.benchmarks.machine.host import Unreadable
from edgeanim.benchmarks.machine.sensors.base import Values
from edgeanim.benchmarks.machine.sensors.tegrastats import read_line
from tests.benchmarks.tegrastats_lines import CONSTRUCTED, REAL

ALL = REAL | CONSTRUCTED


@pytest.mark.parametrize("form", ALL)
def test_no_word_is_left_over(form: str) -> None:
    values, strange = read_line(ALL[form])
    assert strange == ()
    assert values


def _of(form: str) -> Values:
    return {name.removeprefix("tegra."): value for name, value in read_line(ALL[form])[0].items()}


def test_a_nano_tells_all_of_this_without_root() -> None:
    assert _of("Nano, JetPack 4, without root") == {
        "ram_used_mb": 613,
        "ram_total_mb": 3964,
        "swap_used_mb": 0,
        "swap_total_mb": 1982,
        "cpu0.load_percent": 2,
        "cpu1.load_percent": 1,
        "cpu2.load_percent": 0,
        "cpu3.load_percent": 0,
        "cpu0.freq_mhz": 102,
        "cpu1.freq_mhz": 102,
        "cpu2.freq_mhz": 102,
        "cpu3.freq_mhz": 102,
        "cpus_online": 4,
        "emc.load_percent": 0,
        "gpu.load_percent": 0,
        "pll.temp_c": 39,
        "cpu.temp_c": 40.5,
        "pmic.temp_c": 100,
        "gpu.temp_c": 41,
        "ao.temp_c": 46,
        "thermal.temp_c": 41,
        "pom_5v_in.power_w": 0.9,
        "pom_5v_gpu.power_w": 0,
        "pom_5v_cpu.power_w": 0.123,
    }


def test_rails_that_are_called_like_sections_are_rails() -> None:
    values = _of("AGX Xavier, JetPack 4, cores off")
    assert values["cpus_online"] == 4
    assert "cpu4.load_percent" not in values
    assert (values["cpu.power_w"], values["gpu.power_w"]) == (0.31, 0)
    assert (values["cpu.temp_c"], values["gpu.temp_c"]) == (42, 42)
    assert values["sys5v.power_w"] == 1.522


def test_clocks_engines_and_rails_of_a_tx2() -> None:
    values = _of("TX2, JetPack 4")
    assert (values["emc.load_percent"], values["emc.freq_mhz"]) == (1, 1866)
    assert (values["gpu.load_percent"], values["gpu.freq_mhz"]) == (0, 114)
    assert values["ape.freq_mhz"] == 150
    assert values["cpu2.freq_mhz"] == 2034
    assert values["swap_used_mb"] == 1626
    assert values["vdd_in.power_w"] == 5.297
    assert values["bcpu.temp_c"] == 42.5


def test_an_orin_tells_its_clocks_to_root() -> None:
    values = _of("Orin Nano, JetPack 6, root")
    assert (values["gpu.load_percent"], values["gpu.freq_mhz"]) == (63, 621)
    assert (values["emc.load_percent"], values["emc.freq_mhz"]) == (43, 2133)
    assert "nvdec.freq_mhz" not in values
    assert values["ape.freq_mhz"] == 200
    assert values["vdd_in.power_w"] == 12.479
    assert values["tj.temp_c"] == 53.968


def test_orin_without_root_lacks_the_memory_controller() -> None:
    values = _of("Orin Nano, JetPack 6, without root")
    assert not any(name.startswith("emc") for name in values)
    assert values["gpu.load_percent"] == 0
    assert "gpu.freq_mhz" not in values
    assert values["vdd_soc.power_w"] == 1.475


def test_one_clock_for_all_cores_and_memory_in_kilobytes() -> None:
    values = _of("the oldest form, one clock for all cores")
    assert values["cpu0.freq_mhz"] == values["cpu3.freq_mhz"] == 1734
    assert "cpu1.load_percent" not in values
    assert values["cpus_online"] == 3
    assert values["iram_total_mb"] == pytest.approx(252 / 1024)


def test_several_gpu_clocks_and_an_unpowered_zone() -> None:
    values = _of("several clocks of the GPU, unpowered zone, highest power")
    assert (values["gpu.freq_mhz"], values["gpu.freq1_mhz"]) == (1300, 1301)
    assert values["emc.freq_mhz"] == 665
    assert values["nvenc.freq_mhz"] == 716
    assert "cv0.temp_c" not in values
    assert values["gpu.temp_c"] == -5.5
    assert values["vdd_gpu_soc.power_w"] == 3.2


def test_two_rails_of_one_name_stay_two() -> None:
    values = _of("two rails of one name")
    assert (values["vdd.power_w"], values["vdd#2.power_w"]) == (0.1, 0.25)


def test_words_of_no_known_form_are_named() -> None:
    values, strange = read_line("RAM 1/2MB FROB{7} cpu@40C")
    assert strange == ("FROB{7}",)
    assert values["tegra.cpu.temp_c"] == 40


@pytest.mark.parametrize("text", ["", "   ", "tegrastats: command not found", "???"])
def test_other_lines_are_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="no line of tegrastats"):
        read_line(text)


@given(st.sampled_from(sorted(ALL)), st.data())
def test_a_line_that_is_cut_or_stirred_gives_no_wrong_kind_of_value(
    form: str, data: st.DataObject
) -> None:
    words = ALL[form].split()
    words = data.draw(st.lists(st.sampled_from(words), min_size=1) | st.permutations(words))
    text = " ".join(words)[: data.draw(st.integers(1, 400))]
    try:
        values, _ = read_line(text)
    except Unreadable:
        return
    assert all(math.isfinite(value) for value in values.values())
    assert all(name.startswith("tegra.") for name in values)


_WORDS = sorted({word for line in ALL.values() for word in line.split()})


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(_WORDS) | st.text(max_size=8), max_size=12).map(" ".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        values, strange = read_line(text)
    except Unreadable:
        return
    assert values
    assert all(word in text for word in strange)
