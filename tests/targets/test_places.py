"""Where a command runs, and what has to be there: names of places, packages, our own code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.core.errors import DeviceFailed, MissingComponent, UsageError
from edgeanim.core.parsing import load_toml
from edgeanim.targets.on import needs
from edgeanim.targets.on.needs import VENV, Found, lacking
from edgeanim.targets.on.payload import runtime
from edgeanim.targets.on.places import Emulated, Local, SshHost, file_label, parse_place

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("local", Local()),
        ("emulated:raspberry-pi-4", Emulated("raspberry-pi-4")),
        ("ssh://pi4", SshHost("pi4")),
        ("ssh://pi@pi4.local:2222", SshHost("pi4.local", "pi", 2222)),
        ("ssh://pi@[fe80::1]:22", SshHost("fe80::1", "pi", 22)),
        ("ssh://192.168.0.7", SshHost("192.168.0.7")),
    ],
)
def test_a_place_is_one_of_three_forms(text: str, place: object) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "", "locale", "pi4", "pi@pi4", "ssh://", "ssh://@host", "ssh://pi@", "ssh://-oProxyCommand=x",
        "ssh://-l@host", "ssh://pi@-oProxyCommand=touch", "ssh://host:0", "ssh://host:99999",
        "ssh://host:-p", "ssh://ho st", "ssh://host;id", "ssh://host/path", "ssh://$(id)", "ssh://a\nb",
        "ssh://pi:secret@host", "ssh://pi@host:22:22", "emulated:", "emulated:../x", "emulated:-x",
        "ftp://host", "ssh://host\n", "ssh://[::1", "ssh://hôst",
    ],
)  # fmt: skip
def test_nothing_else_is_a_place(text: str) -> None:
    with pytest.raises(UsageError, match="not a p"):
        parse_place(text)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_place_becomes_an_option_or_a_word_of_the_shell(text: str) -> None:
    try:
        place = parse_place(f"ssh://{text}")
    except UsageError:
        return
    assert isinstance(place, SshHost)
    for word in (place.host, place.user or "x"):
        assert not word.startswith("-")
        assert not set(word) & set(" \t\n'\"\\;&|<>$`(){}*?!#~/@")
    assert "/" not in file_label(place)


def _found(version: str = "3.11.2", **changes: object) -> Found:
    modules = tuple(changes.pop("modules", needs.asked_modules()))  # type: ignore[call-overload]
    packages = changes.pop("packages", {"onnxruntime": "1.22"})
    return Found("/usr/bin/python3", version, "aarch64", "glibc 2.36", modules, packages, "/home/x")  # type: ignore[arg-type]


def test_what_is_missing_there_is_said_with_the_line_that_installs_it() -> None:
    assert lacking(_found(), ("onnxruntime", "tflite"), where="pi") is None
    assert lacking(_found(packages={"onnxruntime-gpu": "1"}), ("onnxruntime",), where="pi") is None
    error = lacking(_found(modules=["numpy", "PIL", "psutil", "click"]), ("tflite",), where="pi")
    assert isinstance(error, MissingComponent)
    assert error.hint is not None
    assert "'opencv-python-headless>=" in error.hint
    assert "'ai-edge-litert>=" in error.hint
    assert "~/.edgeanim/venv/bin/pip install" in error.hint
    old = lacking(_found("3.9.2"), (), where="pi")
    assert isinstance(old, DeviceFailed)
    assert lacking(_found("3.10.0"), (), where="pi") is None


def test_an_environment_is_made_there_only_where_there_is_none() -> None:
    bare = _found(modules=[])
    inside = replace(bare, python=f"/home/x{VENV.lstrip('~')}/bin/python3")
    for found, made in ((bare, True), (inside, False)):
        error = lacking(found, ("onnxruntime",), where="pi")
        assert error is not None
        assert (f"with: python3 -m venv {VENV} && {VENV}/bin/pip" in str(error)) == made
        assert f"{VENV}/bin/pip install" in str(error)


def test_the_base_install_is_what_is_asked_for() -> None:
    lines = load_toml(ROOT / "pyproject.toml")["project"]["dependencies"]
    assert {needs.distribution_of(line) for line in lines} - {"tomli"} == set(needs.MODULES)


def test_the_code_that_is_pushed_is_whole_and_light() -> None:
    names = set(runtime().files)
    for name in (
        "cli/main.py",
        "pipeline/on/far_end.py",
        "benchmarks/timing/worker.py",
        "targets/on/stub.py",
    ):
        assert f"edgeanim/{name}" in names
    assert "edgeanim/targets/boards/local.toml" in names
    assert "edgeanim/targets/smoke.eab" in names
    assert not any(name.endswith((".pyc", ".safetensors")) for name in names)
    assert sum(path.stat().st_size for path in runtime().files.values()) < 8 << 20
