"""Boards parse strictly, and the local one is what this machine's own files say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.parsing import parse, to_plain
from edgeanim.targets.backends import backend_names
from edgeanim.targets.board import (
    Board,
    board_names,
    detect,
    load_board,
    load_shipped_board,
)
from edgeanim.targets.machine import read_machine, special_sensors
from edgeanim.targets.on.needs import VENV
from tests.files import lay_out

PI_4 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU part\t: 0xd08
"""
X86 = """processor\t: 0
model name\t: Some CPU @ 3.00GHz
flags\t\t: fpu avx avx2 {extra}

processor\t: 1
flags\t\t: something else
"""
MEMINFO = "MemTotal:        3884048 kB\nMemFree:          100000 kB\n"


def machine_of(root: Path, files: dict[str, str]) -> Path:
    return lay_out(root, {"proc/meminfo": MEMINFO, **files})


@pytest.mark.parametrize("name", board_names())
def test_every_shipped_board_is_sound(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert board.backends
    assert {entry.name for entry in board.backends} <= set(backend_names())
    assert parse(Board, to_plain(board), where="test") == board
    if name != "local":
        assert board.verified is None, "measure it on the real board first, then name the result"
        assert board.notes
        assert board.sources
        assert board.install is not None
        assert all((board.install.os, board.install.python, board.install.wheels))
        venv, install, check = board.install.steps[-3:]
        # The environment that `deploy` and `--on` look for; pip's index has no edgeanim.
        assert f"-m venv {VENV} && . {VENV}/bin/activate" in venv
        assert install.startswith("in a checkout of edgeanim: pip install '.[")
        assert check == "edgeanim doctor"
        vnni = {"avx512_vnni", "avx_vnni"} & set(board.cpu_features)
        assert board.saturates_u8s8 is (board.arch == "x86_64" and not vnni)


def test_the_boards_of_the_plan_are_there() -> None:
    assert set(board_names()) == {
        "local",
        "x86-vnni",
        "x86-avx2",
        "intel-n100",
        "intel-n150",
        "raspberry-pi-3b-plus",
        "raspberry-pi-4",
        "raspberry-pi-5",
        "raspberry-pi-zero-2w",
        "jetson-nano",
        "jetson-tx2",
        "jetson-xavier-nx",
        "jetson-orin-nano",
        "jetson-agx-orin",
    }


def test_boards_without_int8_hardware_claim_none() -> None:
    for name in ("jetson-nano", "jetson-tx2"):
        gpu = load_board(name).gpu
        assert gpu is not None
        assert "int8" not in gpu.precisions
        assert gpu.peaks.gops_int8 is None
    for name in board_names():
        board = load_board(name)
        if board.arch == "aarch64" and board.name != "local":
            assert not board.backend("openvino").int8 or "openvino" not in {
                entry.name for entry in board.backends
            }


def test_the_dot_product_is_what_lifts_the_int8_peak() -> None:
    for name in board_names():
        board = load_board(name)
        if board.peaks.gops_int8 and board.peaks.gflops_fp32 and board.arch == "aarch64":
            gain = board.peaks.gops_int8 / board.peaks.gflops_fp32
            assert gain > 3 if "asimddp" in board.cpu_features else gain < 2.1


@pytest.mark.parametrize(
    ("files", "sensors"),
    [
        ({}, ()),
        ({"sys/class/powercap/intel-rapl:0/name": "package-0\n"}, ("rapl",)),
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}, ("raspberry_pi",)),
        (
            {"proc/device-tree/model": "NVIDIA Jetson Nano\0", "etc/nv_tegra_release": "# R32"},
            ("jetson", "tegrastats", "ina3221"),
        ),
        ({"dev/nvidiactl": ""}, ("nvidia",)),
    ],
    ids=["any", "x86", "pi", "jetson", "gpu"],
)
def test_special_sensors_are_found(
    tmp_path: Path, files: dict[str, str], sensors: tuple[str, ...]
) -> None:
    assert special_sensors(machine_of(tmp_path, files)) == sensors


def test_an_unknown_board_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="raspberry-pi-5"):
        load_board("raspbery-pi-5")


def test_of_a_file_that_is_not_called_like_a_boards_it_is_said_how_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All known boards were listed, and the file that lay there was said not to."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine.board", "raspberry-pi-5"):
        (tmp_path / name).write_text("schema = 1\n")
    with pytest.raises(UsageError, match=r"mine\.board: .* ends in \.toml"):
        load_board("mine.board")
    assert load_board("raspberry-pi-5").cores == 4  # a name goes before a file


def test_ones_own_board_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    base = 'name = "mine"\ntitle = "Mine"\narch = "aarch64"\nmemory_mb = 512\ncores = 2\n'
    path.write_text(base + '[[backends]]\nname = "tflite"\n[backends.settings]\nxnnpack = "off"\n')
    board = load_board(path)
    assert board.backend("tflite").settings == {"xnnpack": "off"}
    assert board.backend("openvino").settings == {}
    for wrong, says in [
        ("threds = 2\n", "threads"),
        ("threads = 3\n", "3 threads on 2 cores"),
        ("affinity = [2]\n", "affinity"),
        ("threads = 0\n", "positive"),
        *((f"latency_budget_ms = {ms}\n", "at least 0.001 ms") for ms in (0.0, -5.0, 1e-320)),
        *((f"[peaks]\ngflops_fp32 = {peak}\n", "a peak must be") for peak in (0.0, -1.0, 1e-320)),
        ('[[backends]]\nname = "a"\n[[backends]]\nname = "a"\n', "twice"),
        ('sensors = ["linux", "linux"]\n', "sensor is listed twice"),
        ('[[backends]]\nname = "tfilte"\n', "no backend 'tfilte'. Did you mean 'tflite'"),
        ('sensors = ["linux", "thremal"]\n', "no sensor 'thremal'. Did you mean 'thermal'"),
        ('[[backends]]\nname = "a"\nprecisions = ["int4"]\n', "int4"),
    ]:
        path.write_text(base + wrong)
        with pytest.raises(BadInput, match=says):
            load_board(path)
    path.write_text(base.replace("aarch64", "mips"))
    with pytest.raises(BadInput, match="mips"):
        load_board(path)
    with pytest.raises(BadInput, match="No such file"):
        load_board(tmp_path / "absent.toml")


def test_a_raspberry_pi_is_read_from_its_files(tmp_path: Path) -> None:
    root = machine_of(
        tmp_path,
        {
            "proc/cpuinfo": PI_4,
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        },
    )
    machine = read_machine(root, arch="arm64", affinity=4)
    assert machine.arch == "aarch64"
    assert machine.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine.governor == "ondemand"
    assert machine.cpu_features == tuple(sorted(["fp", "asimd", "evtstrm", "crc32", "cpuid"]))
    assert (machine.cores, machine.memory_mb) == (4, 3884048 >> 10)
    assert not machine.saturates_u8s8


@pytest.mark.parametrize(
    ("extra", "multiplies"),
    [("", False), ("avx512f", False), ("avx512_bf16", True), ("amx_bf16", True)],
)
def test_bfloat16_is_multiplied_where_the_processor_says_so(
    tmp_path: Path, extra: str, multiplies: bool
) -> None:
    root = machine_of(tmp_path, {"proc/cpuinfo": X86.format(extra=extra)})
    assert read_machine(root, arch="x86_64").multiplies_bfloat16 is multiplies


def test_channels_fill_the_vectors_of_the_board() -> None:
    board = load_board("x86-avx2")
    assert board.channel_unit == load_board("raspberry-pi-5").channel_unit == 8
    assert replace(board, cpu_features=("avx512f",)).channel_unit == 16


@pytest.mark.parametrize(
    ("extra", "saturates"), [("", True), ("avx_vnni", False), ("avx512f avx512_vnni", False)]
)
def test_x86_saturates_unless_it_has_vnni(tmp_path: Path, extra: str, saturates: bool) -> None:
    root = machine_of(tmp_path, {"proc/cpuinfo": X86.format(extra=extra)})
    machine = read_machine(root, arch="x86_64")
    assert machine.saturates_u8s8 is saturates
    assert machine.model == "Some CPU @ 3.00GHz"
    assert "something" not in machine.cpu_features


@pytest.mark.parametrize(
    ("files", "cores", "memory_mb"),
    [
        ({"proc/self/cgroup": "0::/a/b\n"}, 8, 3793),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/memory.max": str(512 << 20),
                "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
            },
            2,
            512,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a\n1:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": str(256 << 20),
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(0x7FFFFFFFFFFFF000),
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            1,
            256,
        ),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
            8,
            3793,
        ),
    ],
    ids=["no limits", "v2", "v1", "max"],
)
def test_a_containers_limits_count(
    tmp_path: Path, files: dict[str, str], cores: int, memory_mb: int
) -> None:
    machine = read_machine(machine_of(tmp_path, files), arch="x86_64", affinity=8)
    assert (machine.cores, machine.memory_mb) == (cores, memory_mb)


def test_a_machine_that_says_nothing_is_still_a_machine(tmp_path: Path) -> None:
    machine = read_machine(tmp_path, affinity=1)
    assert machine.cores == 1
    assert machine.memory_mb > 0
    assert machine.cpu_features == ()
    assert machine.model is machine.governor is None


@given(text=st.text(max_size=300))
def test_nonsense_in_the_systems_files_is_no_crash(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = ("proc/cpuinfo", "proc/meminfo", "proc/self/cgroup", "sys/fs/cgroup/cpu.max")
    root = machine_of(tmp_path_factory.mktemp("root"), dict.fromkeys(names, text))
    machine = read_machine(root, affinity=4)
    assert 1 <= machine.cores <= 4


@pytest.mark.parametrize(
    ("flags", "floats"),
    [
        ("avx2", ("float32",)),
        ("avx512_bf16 avx512_vnni", ("float32", "bfloat16")),
        ("amx_bf16 amx_fp16", ("float32", "bfloat16", "float16")),
        ("amx_bf16 avx512_fp16", ("float32", "bfloat16")),
    ],
)
def test_precisions_that_the_machine_has_not_are_taken_out(
    flags: str, floats: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    root = machine_of(tmp_path, {"proc/cpuinfo": f"flags : {flags}\n"})
    found = detect(load_shipped_board("local"), root).backend("openvino")
    assert found.precisions == (*floats, "int8")
    assert found.floats(("float32", "bfloat16", "float16")) == floats
    assert found.floats(("float32",)) == ("float32",)


@pytest.mark.parametrize("name", ["raspberry-pi-4", "raspberry-pi-5", "jetson-orin-nano"])
def test_an_arm_machine_gets_the_backends_of_arm_boards(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = load_board(name)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    features = " ".join(board.cpu_features)
    root = machine_of(tmp_path, {"proc/cpuinfo": f"Features : {features}\n"})
    found = detect(load_shipped_board("local"), root)
    assert [(each.name, each.precisions) for each in found.backends] == [
        (each.name, each.precisions) for each in board.backends
    ]
    assert detect(found, root) == found


def test_this_machine_is_detected() -> None:
    board = load_board("local")
    assert board == detect(board)
    assert board.cores >= 1
    assert board.memory_mb > 64
