"""What is broken itself: packages, absent or not to be imported, and edgeanim's own code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeanim import __version__, api
from edgeanim.cli.main import main
from edgeanim.core.errors import MissingComponent
from edgeanim.core.requirements import EXTRAS, quoted
from tests.cli.called import edgeanim


def test_a_command_that_is_to_be_pasted_is_not_broken_over_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise error

    error = MissingComponent("Signing needs a package that is not there, " * 2, extra="compress")
    error.hint = f"Install it with: python -m pip install {quoted(EXTRAS['compress'])}"
    monkeypatch.setattr("edgeanim.cli.main.cli.main", lambda **_: absent())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4
    shown = capsys.readouterr().err
    assert error.hint.partition(": ")[2] in shown.splitlines()
    assert shown.split() == f"Error: {error}".split()


def test_a_mistake_of_ours_is_not_taken_for_a_gate_that_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python ends with 1 for both. Whoever can report it is told how, and sees where it was."""

    def mistaken(*_: object, **__: object) -> None:
        raise KeyError("net\x1b[2J")

    monkeypatch.setattr(api, "compare", mistaken)
    done = edgeanim("compare", tmp_path / "report.json", "--fail-on", "latency.p90_ms > 50")
    assert done.returncode == 6
    assert done.stderr.startswith("Traceback")
    assert f"{Path(__file__).name}" in done.stderr
    assert f"a mistake in edgeanim {__version__}. Please report it" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("made", "code", "says"),
    [
        ("None", 4, "-m pip install 'opencv-python-headless>=4.10'\n"),
        ("'raise ImportError(\"numpy.core.multiarray failed to import\")'", 4, "'numpy>=1.24' "),
        ("'raise ImportError(\"cv2.so: failed to map segment\")'", 5, "Out of memory."),
        ("'from edgeanim.core import no_such'", 6, "Traceback"),  # a mistake of ours
    ],
    ids=["absent", "broken", "no memory", "ours"],
)
def test_a_base_package_that_cannot_be_imported_is_named(made: str, code: int, says: str) -> None:
    script = (
        "import sys, importlib.abc, importlib.util\n"
        "class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        return importlib.util.spec_from_loader(name, self) if name == 'cv2' else None\n"
        "    def get_source(self, name):\n"
        f"        return {made}\n"
        f"if {made} is None:\n"
        "    sys.modules['cv2'] = None\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import edgeanim.cli.main as of\n"
        "of.cli.main = lambda **_: __import__('cv2')\n"
        "of.main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert ("Traceback" in done.stderr) is (says == "Traceback")


def test_an_absent_backend_says_how_to_install_it(
    tiny_onnx: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "sys.modules['onnxruntime'] = None\n"
        "model, photos, out = sys.argv[1:]\n"
        "sys.argv = ['edgeanim', 'compile', model, '--frames', photos, '-o', out]\n"
        "sys.argv += ['--backend', 'onnxruntime']\n"
        "from edgeanim.cli.main import main\n"
        "main()"
    )
    out = tmp_path / "x.eab"
    command = [sys.executable, "-c", code, str(tiny_onnx()), str(photos), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "pip install 'edgeanim[onnxruntime]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not out.exists()
