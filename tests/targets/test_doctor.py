"""The doctor finds what is wrong, and survives a runtime that does not."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeanim.core.errors import DeviceFailed
from edgeanim.core.parsing import to_plain
from edgeanim.targets import doctor
from edgeanim.targets.backends import backend_names, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.doctor import Check, Diagnosis, check_backend, diagnose, none_works
from edgeanim.targets.fitness import check_machine
from edgeanim.targets.permissions import check_permissions
from edgeanim.targets.smoke import run_smoke
from edgeanim.targets.wheels import RUNTIMES, fitting
from tests.files import lay_out


@pytest.mark.parametrize("name", [n for n in backend_names() if get_backend(n).int8_scheme])
def test_every_backend_passes_its_smoke_test_in_each_precision(name: str) -> None:
    errors = run_smoke(name)
    assert set(errors) == {"float32", "int8"}
    assert errors["float32"] < 1e-5
    assert 1e-5 < errors["int8"] < 0.03


def test_this_machine_is_diagnosed() -> None:
    diagnosis = diagnose()
    names = [check.name for check in diagnosis.checks]
    first = ["processor", "C library", "Python", "wheels", "memory", "disk"]
    first += ["governor", "power (RAPL)", "perf counters"]
    assert [name for name in names if name in first] == first
    backends = [check for check in diagnosis.checks if check.name.startswith("backend")]
    ordered = load_board("local").in_order(backend_names())
    assert [check.name for check in backends] == [f"backend {name}" for name in ordered]
    assert diagnosis.usable
    for check in backends:
        assert check.status in ("ok", "warn"), check
    plain = to_plain(diagnosis)
    assert json.loads(json.dumps(plain)) == plain


def _stand_in(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def _answer(
    errors: str = '{"int8": 0.01}', *, version: str | None = "1.0", note: str | None = None
) -> str:
    """A stand-in that prints what the smoke test would."""
    about = {"version": version, "reason": "absent", "note": note, "extra": "openvino"}
    text = json.dumps(about).replace("}", f', "errors": {errors}}}')
    return f"print('chatter'); print({text!r})"


@pytest.mark.parametrize(
    ("body", "status", "says", "runs"),
    [
        ("import os; os.kill(os.getpid(), 4)", "fail", "died of SIGILL", False),
        ("import os; os.kill(os.getpid(), 11)", "fail", "died of SIGSEGV", False),
        ("raise SystemExit('no module named x')", "fail", "no module named x", False),
        (_answer('{"int8": 0.4}'), "fail", "wrong results", False),
        (_answer('{"int8": NaN}'), "fail", "wrong results", False),
        ('print(\'{"refused": "no such op"}\')', "fail", "no such op", False),
        (_answer(), "ok", "1.0; int8 off by 0.01", True),
        (_answer(note="beware"), "warn", "1.0; int8 off by 0.01", True),
        (_answer("{}"), "ok", "no smoke test", True),
        (_answer("{}", note="Not for boards."), "ok", "no smoke test", True),
        (_answer("{}", version=None), "skip", "not installed: absent", False),
        (_answer("{}", version=None, note="Not for boards."), "skip", "absent Not for", False),
        (f"{_answer()}; print(0); print('bye')", "ok", "1.0; int8 off by 0.01", True),
        ("print(7)", "fail", "its smoke test ended with 0", False),
        ("import time; time.sleep(60)", "fail", "did not end", False),
    ],
)
def test_what_the_smoke_test_says_is_judged(
    body: str, status: str, says: str, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", _stand_in(tmp_path / "python", body))
    monkeypatch.setattr(doctor, "_SMOKE_SECONDS", 2)
    check, found = check_backend("openvino")
    assert (check.name, check.status, found) == ("backend openvino", status, runs)
    assert says in check.detail
    if status == "skip":
        needless = "Not for boards" in check.detail
        assert check.hint == (None if needless else "pip install 'edgeanim[openvino]'")


def test_a_runtime_of_another_processor_gets_its_own_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = _stand_in(tmp_path / "python", "import os; os.kill(os.getpid(), 4)")
    monkeypatch.setattr(sys, "executable", dying)
    diagnosis = diagnose()
    assert not diagnosis.usable
    hints = [check.hint or "" for check in diagnosis.checks if check.name.startswith("backend")]
    assert all("another processor" in hint for hint in hints)


def test_where_no_process_can_be_started_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    check, runs = check_backend("openvino")
    assert (check.status, runs) == ("warn", False)
    assert "no process" in check.detail


def test_what_to_install_is_what_a_bundle_would_be_played_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`animate` begins with the board's first, too."""
    monkeypatch.setattr(doctor, "check_machine", tuple)
    monkeypatch.setattr(doctor, "check_permissions", tuple)

    def absent(name: str) -> tuple[Check, bool]:
        return Check(f"backend {name}", "skip", "", f"pip install {name}"), False

    monkeypatch.setattr(doctor, "check_backend", absent)
    first = load_board("local").backends[0].name
    told = none_works(diagnose())
    assert (told.exit_code, told.hint) == (4, f"Install it with: pip install {first}")
    failed = Check("backend openvino", "fail", "died")
    needless = Check("backend torch", "skip", "not installed")
    assert none_works(Diagnosis((failed, needless), False)).hint is None


def test_a_processor_that_no_board_has_is_diagnosed_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise DeviceFailed("This machine is riscv64.")

    monkeypatch.setattr(doctor, "load_board", refuse)
    monkeypatch.setattr(doctor, "check_backend", lambda name: (Check(name, "fail", ""), False))
    assert [check.name for check in diagnose().checks][-len(backend_names()) :] == [
        *backend_names()
    ]


def of(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_small_board_is_told_what_it_lacks(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "proc/cpuinfo": "Features : fp asimd\n",
            "proc/meminfo": "MemTotal: 200000 kB\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
            "proc/sys/kernel/perf_event_paranoid": "3\n",
        },
    )
    checks = of([*check_machine(root), *check_permissions(root)])
    assert checks["memory"].status == checks["governor"].status == "warn"
    assert "powersave" in checks["governor"].detail
    assert checks["perf counters"].status == "warn"
    assert "perf_event_paranoid is 3" in checks["perf counters"].detail
    assert checks["power (RAPL)"].status == "skip"


@pytest.mark.parametrize(
    ("level", "status"), [("-1", "ok"), ("2", "ok"), ("3", "warn"), ("what", "skip")]
)
def test_ones_own_processes_can_be_counted_up_to_the_second_level(
    tmp_path: Path, level: str, status: str
) -> None:
    root = lay_out(tmp_path, {"proc/sys/kernel/perf_event_paranoid": f"{level}\n"})
    assert of(check_permissions(root))["perf counters"].status == status


@pytest.mark.parametrize(("free_mb", "status"), [(2047, "warn"), (2048, "ok")])
def test_a_disk_with_little_room_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_mb << 20))
    disk = of(check_machine(tmp_path))["disk"]
    assert disk.status == status
    assert disk.detail.startswith(f"{free_mb} MB free")


def test_a_store_that_cannot_be_written_to_is_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for store in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("EDGEANIM_STORE", str(store))
        disk = of(check_machine(tmp_path))["disk"]
        assert (disk.status, disk.detail) == (
            "fail", f"the artifact store in {store} cannot be written to",
        )  # fmt: skip
    monkeypatch.setenv("EDGEANIM_STORE", str(tmp_path / "store"))
    assert of(check_machine(tmp_path))["disk"].status != "fail"
    with monkeypatch.context() as homeless:
        for name in ("EDGEANIM_STORE", "XDG_CACHE_HOME", "HOME"):
            homeless.delenv(name, raising=False)
        homeless.setattr("pwd.getpwuid", {}.__getitem__)
        assert of(check_machine(tmp_path))["disk"].status == "fail"
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.F_OK)
    assert of(check_machine(tmp_path))["disk"].status == "fail"


def test_power_that_only_root_may_read_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay_out(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "1\n"})
    assert of(check_permissions(root))["power (RAPL)"].status == "ok"
    monkeypatch.setattr(os, "access", lambda *_: False)
    check = of(check_permissions(root))["power (RAPL)"]
    assert (check.status, check.detail) == ("warn", "only root may read it")
    assert "chmod a+r" in (check.hint or "")


def test_the_tools_of_a_board_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi = lay_out(tmp_path / "pi", {"proc/device-tree/model": "Raspberry Pi 5\0", "dev/vcio": ""})
    jetson = lay_out(tmp_path / "jetson", {"etc/nv_tegra_release": "# R36"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert of(check_permissions(pi))["vcgencmd"].detail == "not installed"
    assert {"nvpmodel", "jetson_clocks", "tegrastats"} <= of(check_permissions(jetson)).keys()
    _stand_in(tmp_path / "vcgencmd", "")
    assert of(check_permissions(pi))["vcgencmd"].status == "ok"
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda f, m: "vcio" not in str(f) and allowed(f, m))
    assert "aG video" in (of(check_permissions(pi))["vcgencmd"].hint or "")


@pytest.mark.parametrize(
    ("package", "arch", "glibc", "python", "version", "reason"),
    [
        ("onnxruntime", "aarch64", (2, 36), (3, 11), "1.32.0", None),
        ("onnxruntime", "aarch64", (2, 27), (3, 11), "1.28.0", "needs glibc 2.28, this is 2.27"),
        ("onnxruntime", "x86_64", (2, 36), (3, 10), "1.23.2", "needs CPython 3.11 to 3.14"),
        ("ai-edge-litert", "x86_64", None, (3, 12), None, "ai-edge-litert 2.3.0 needs glibc"),
        ("openvino", "aarch64", (2, 31), (3, 10), "2025.2.0", "needs glibc 2.35, this is 2.31"),
        ("openvino", "aarch64", (2, 27), (3, 11), None, "openvino 2025.2.0 needs glibc 2.31"),
        ("openvino", "x86_64", (2, 27), (3, 11), "2025.4.1", "needs glibc 2.28"),
        ("ai-edge-litert", "aarch64", (2, 27), (3, 14), "2.3.0", None),
        ("ai-edge-litert", "armv7l", (2, 36), (3, 11), None, "has no wheel for armv7l"),
        ("ai-edge-litert", "x86_64", (2, 36), (3, 9), None, "needs CPython 3.10 to 3.14"),
        ("onnxruntime", "x86_64", (2, 36), (3, 9), None, "1.23.2 needs CPython 3.10 to 3.10"),
        ("onnxruntime", "x86_64", (2, 36), (3, 15), None, "1.32.0 needs CPython 3.11 to 3.14"),
        ("openvino", "aarch64", (2, 36), (3, 15), None, "2026.4.1 needs CPython 3.10 to 3.14"),
    ],
)
def test_the_newest_wheel_that_fits_is_named_or_why_none_does(
    package: str,
    arch: str,
    glibc: tuple[int, ...] | None,
    python: tuple[int, ...],
    version: str | None,
    reason: str | None,
) -> None:
    wheels = next(each for each in RUNTIMES if each[0].package == package)
    fit = fitting(wheels, arch, glibc, python)
    assert (fit.package, fit.version) == (package, version)
    assert (reason in fit.reason) if reason and fit.reason else fit.reason is reason is None


def test_a_machine_without_wheels_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    checks = of(check_machine())
    assert checks["C library"].status == "warn"
    assert checks["wheels"].status == "fail"
    assert "needs glibc" in (checks["wheels"].hint or "")


@pytest.mark.parametrize("where", ["imported", "asked"])
def test_an_illegal_instruction_in_anyones_backend_is_a_diagnosis(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend by another distribution's entry point, whose runtime this processor cannot run."""
    dying = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    module = dying if where == "imported" else f"class Dying:\n    def available(self): {dying}\n"
    (tmp_path / "dying.py").write_text(module)
    dist = tmp_path / "dying-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: dying\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("[edgeanim.backends]\ndying = dying:Dying\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    check, runs = check_backend("dying")
    assert (check.name, check.status, runs) == ("backend dying", "fail", False)
    assert "died of SIGILL" in check.detail
    assert "another processor" in (check.hint or "")
