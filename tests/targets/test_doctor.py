"""The doctor finds what is wrong, and survives a runtime that does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgeanim.core.parsing import to_plain
from edgeanim.targets import doctor
from edgeanim.targets.backends import backend_names, get_backend
from edgeanim.targets.doctor import check_backend, diagnose
from edgeanim.targets.smoke import run_smoke


@pytest.mark.parametrize("name", [n for n in backend_names() if get_backend(n).extra])
def test_every_backend_passes_its_smoke_test_in_each_precision(name: str) -> None:
    errors = run_smoke(name)
    assert set(errors) == {"float32", "int8"}
    assert errors["float32"] < 1e-5
    assert 1e-5 < errors["int8"] < 0.03


def test_this_machine_is_diagnosed() -> None:
    diagnosis = diagnose()
    names = [check.name for check in diagnosis.checks]
    assert names[:6] == ["processor", "C library", "Python", "memory", "disk", "governor"]
    assert names[6:] == [f"backend {name}" for name in backend_names()]
    assert diagnosis.usable
    for check in diagnosis.checks[6:]:
        assert check.status in ("ok", "warn"), check
    plain = to_plain(diagnosis)
    assert json.loads(json.dumps(plain)) == plain


def _stand_in(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("import os; os.kill(os.getpid(), 4)", "fail", "died of SIGILL"),
        ("import os; os.kill(os.getpid(), 11)", "fail", "died of SIGSEGV"),
        ("raise SystemExit('no module named x')", "fail", "no module named x"),
        ('print(\'{"errors": {"int8": 0.4}}\')', "fail", "wrong results"),
        ('print(\'{"errors": {"int8": NaN}}\')', "fail", "wrong results"),
        ('print(\'{"refused": "no such op"}\')', "fail", "no such op"),
        ("print('chatter'); print('{\"errors\": {\"int8\": 0.01}}')", "ok", "off by 0.01"),
        ("print('{\"errors\": {}}')", "ok", "no smoke test"),
        ("import time; time.sleep(60)", "fail", "did not end"),
    ],
)
def test_what_the_smoke_test_says_is_judged(
    body: str, status: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", _stand_in(tmp_path / "python", body))
    monkeypatch.setattr(doctor, "_SMOKE_SECONDS", 2)
    check = check_backend(get_backend("onnxruntime"))
    assert (check.name, check.status) == ("backend onnxruntime", status)
    assert says in check.detail


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
    check = check_backend(get_backend("openvino"))
    assert check.status == "warn"
    assert "no process" in check.detail


def test_an_absent_runtime_is_skipped_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    refusing = _stand_in(tmp_path / "python", 'print(\'{"refused": "absent"}\')')
    monkeypatch.setattr(sys, "executable", refusing)
    check = check_backend(get_backend("openvino"))
    assert check.status == "skip"
    assert check.hint == "pip install 'edgeanim[openvino]'"


def test_a_small_board_is_told_what_it_lacks(tmp_path: Path) -> None:
    for name, text in {
        "proc/cpuinfo": "Features : fp asimd\n",
        "proc/meminfo": "MemTotal: 200000 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    checks = {check.name: check for check in diagnose(tmp_path).checks}
    assert checks["memory"].status == checks["governor"].status == "warn"
    assert "powersave" in checks["governor"].detail
