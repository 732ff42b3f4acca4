"""Boards in folders: recordings made up from what such boards print, in the recorder's own form.

Each is a list of looks: seconds into the run, CPU time of the harness, and the files and outputs of
commands that changed since the look before.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.tegrastats_lines import REAL
from tests.files import lay_out

Look = tuple[float, float, dict[str, str], dict[str, str]]

_CPU = "sys/devices/system/cpu/cpu0/cpufreq"
_ZONE = "sys/class/thermal/thermal_zone0"
_PMIC = Path(__file__).with_name("pmic_read_adc.txt").read_text()


def _busy(seconds: float) -> str:
    ticks = int(100 * (1000 + seconds))
    return f"cpu  {ticks} 0 0 900000 0 0 0 0 0 0\ncpu0 {ticks} 0 0 900000 0 0 0 0 0 0\n"


def _look(
    at: float, own: float, celsius: float, files: dict[str, str], commands: dict[str, str]
) -> Look:
    common = {"proc/stat": _busy(own), f"{_ZONE}/temp": f"{int(celsius * 1000)}\n"}
    return at, own, common | files, commands


_START = {
    "proc/loadavg": "0.10 0.05 0.01 1/120 900\n",
    "proc/meminfo": "MemTotal: 3884048 kB\nMemAvailable: 3000000 kB\n"
    "SwapTotal: 102396 kB\nSwapFree: 102396 kB\n",
    "proc/vmstat": "pswpin 0\npswpout 0\npgmajfault 12\n",
    f"{_ZONE}/type": "cpu-thermal\n",
    f"{_CPU}/scaling_governor": "performance\n",
}
_FIRMWARE = {
    "vcgencmd get_throttled": "throttled=0x0\n",
    "vcgencmd measure_volts": "volt=0.8700V\n",
    "vcgencmd measure_clock arm": "frequency(48)=1800457088\n",
}
_NO_PMIC = {"vcgencmd pmic_read_adc": 'error=1 error_msg="Command not registered"\n'}

PI_4_THAT_THROTTLES: list[Look] = [
    _look(
        0,
        0,
        62.8,
        _START
        | {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            f"{_CPU}/scaling_cur_freq": "1800000\n",
        },
        _FIRMWARE | _NO_PMIC | {"vcgencmd measure_temp": "temp=62.8'C\n"},
    ),
    _look(20, 19, 79.4, {}, {"vcgencmd measure_temp": "temp=79.4'C\n"}),
    _look(
        40,
        38,
        82.8,
        {f"{_CPU}/scaling_cur_freq": "1500000\n"},
        {
            "vcgencmd measure_temp": "temp=82.8'C\n",
            "vcgencmd get_throttled": "throttled=0x80008\n",
            "vcgencmd measure_clock arm": "frequency(48)=1500398464\n",
        },
    ),
    _look(
        60,
        57,
        83.8,
        {},
        {
            "vcgencmd measure_temp": "temp=83.8'C\n",
            "vcgencmd get_throttled": "throttled=0xe0004\n",
        },
    ),
]
PI_5_WITH_POWER: list[Look] = [
    _look(
        0,
        0,
        50.5,
        _START
        | {
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            f"{_CPU}/scaling_cur_freq": "2400000\n",
        },
        _FIRMWARE | {"vcgencmd measure_temp": "temp=50.5'C\n", "vcgencmd pmic_read_adc": _PMIC},
    ),
    _look(30, 29, 55.4, {}, {"vcgencmd measure_temp": "temp=55.4'C\n"}),
    _look(60, 58, 57.1, {}, {"vcgencmd measure_temp": "temp=57.1'C\n"}),
]
_OC = "sys/class/hwmon/hwmon4"
_INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
JETSON_ORIN_NANO: list[Look] = [
    _look(
        0,
        0,
        49.9,
        _START
        | {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit Super\0",
            f"{_CPU}/scaling_cur_freq": "1728000\n",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.7, GCID: 42132812\n",
            "sys/devices/platform/gpu.0/load": "12\n",
            f"{_OC}/name": "soctherm_oc\n",
            f"{_OC}/oc1_event_cnt": "0\n",
            f"{_OC}/oc3_event_cnt": "2\n",
            f"{_INA}/in1_label": "VDD_IN\n",
            f"{_INA}/in1_input": "5064\n",
            f"{_INA}/curr1_input": "960\n",
        },
        {
            "tegrastats --interval 2000": REAL["Orin Nano, JetPack 6, without root"],
            "nvpmodel -q": "NV Power Mode: MAXN_SUPER\n2\n",
        },
    ),
    _look(
        30,
        29,
        53.9,
        {f"{_INA}/curr1_input": "2464\n"},
        {"tegrastats --interval 2000": REAL["Orin Nano, JetPack 6, root"]},
    ),
    _look(60, 58, 53.9, {f"{_OC}/oc3_event_cnt": "7\n"}, {}),
]


def record(folder: Path, looks: list[Look]) -> Path:
    """Write `looks` as a recording."""
    for number, (at, own, files, commands) in enumerate(looks):
        page = folder / f"{number:04d}"
        texts = {f"root/{name}": text for name, text in files.items()}
        texts |= {f"commands/{name}": text for name, text in commands.items()}
        clocks = {"wall": 1.7e9 + at, "steady": 500.0 + at, "own_cpu": own}
        texts["clocks.json"] = json.dumps(clocks)
        lay_out(page, texts)
    return folder
