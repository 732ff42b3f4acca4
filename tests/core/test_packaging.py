"""What the packaging promises: nothing forgotten, nothing heavy, nothing sent anywhere."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgeanim.core.parsing import load_toml
from edgeanim.core.requirements import BASE, EXTRAS, install_line
from edgeanim.targets.backends import backend_names
from edgeanim.targets.on.emulator_setup import wheel_command

ROOT = Path(__file__).resolve().parents[2]
MAPPED = ("quantize", "targets", "benchmarks")
HEAVY = {"torch", "onnx", "onnxruntime", "openvino", "nncf", "numpy", "cv2", "PIL", "matplotlib"}


def test_every_package_on_disk_is_listed() -> None:
    listed = load_toml(ROOT / "pyproject.toml")["tool"]["setuptools"]["packages"]
    on_disk = set()
    for top in ("edgeanim", *MAPPED):
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            if parts[0] == "edgeanim" and len(parts) > 1 and parts[1] in MAPPED:
                continue  # seen through a symlink
            on_disk.add(".".join(parts if parts[0] == "edgeanim" else ("edgeanim", *parts)))
    assert sorted(listed) == sorted(on_disk)


def test_the_mapped_packages_are_seen_from_the_root() -> None:
    for name in MAPPED:
        link = ROOT / "edgeanim" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name


def files_in(folder: Path) -> set[str]:
    """The files below a folder, through no link."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What belongs to the project, without what else lies in a checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "MANIFEST.in", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("edgeanim", *MAPPED, "docs", "scripts", "tests"):
        dropped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=dropped)
    return folder


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built("sdist", source, folder)) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def built(what: str, source: Path, out: Path) -> Path:
    """The `sdist` or `wheel` that the build backend makes of a source tree."""
    code = f"from setuptools import build_meta; build_meta.build_{what}({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (made,) = (path for path in out.iterdir() if path.is_file())
    return made


def test_an_sdist_holds_the_docs_and_the_tests_too(source: Path, sdist: Path) -> None:
    found = {name for name in files_in(sdist) if not name.startswith("edgeanim.egg-info/")}
    # What building has left in the source tree is not of it.
    held = {name for name in files_in(source) if not name.startswith("edgeanim.egg-info/")}
    assert found - {"PKG-INFO", "setup.cfg"} == held


def test_a_wheel_made_of_it_holds_each_file_of_the_packages_once_and_nothing_else(
    source: Path, sdist: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(built("wheel", sdist, tmp_path)) as wheel:
        names = wheel.namelist()
    expected = {f"edgeanim/{name}" for name in files_in(source / "edgeanim")}
    expected |= {f"edgeanim/{top}/{name}" for top in MAPPED for name in files_in(source / top)}
    told = {name for name in names if ".dist-info/" in name}
    assert set(names) - told == expected
    assert len(names) == len(set(names))
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in told)
    assert {"edgeanim/py.typed", "edgeanim/targets/boards/local.toml"} <= expected


def test_only_a_backends_own_file_asks_for_its_name() -> None:
    """docs/architecture.md: what differs from backend to backend is behind their interface."""
    ours = ROOT / "targets" / "backends"
    files = [file for top in ("edgeanim", *MAPPED) for file in (ROOT / top).rglob("*.py")]
    asked = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        if file.resolve().parent != ours
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq))
        for word in (node.left, *node.comparators)
        if isinstance(word, ast.Constant) and word.value in backend_names()
    ]
    assert len(files) > 400
    assert not asked


def test_requirements_are_those_of_the_distribution() -> None:
    project = load_toml(ROOT / "pyproject.toml")["project"]
    assert list(BASE) == project["dependencies"]
    extras = project["optional-dependencies"]
    assert set(extras) - set(EXTRAS) == {"all", "dev"}
    assert {name: list(lines) for name, lines in EXTRAS.items()} == {n: extras[n] for n in EXTRAS}


def test_where_edgeanim_is_not_installed_pip_is_asked_for_the_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    assert install_line("tflite") == "pip install 'edgeanim[tflite]'"
    for asked in ("distribution", "requires"):
        monkeypatch.setattr(importlib.metadata, asked, absent)
    monkeypatch.setattr(sys, "executable", "/home/pi/my venv/bin/python")
    assert install_line("tflite-runtime") == (
        "'/home/pi/my venv/bin/python' -m pip install 'tflite-runtime>=2.14' 'numpy<2'"
    )
    assert install_line("of-a-plugin") == "pip install 'edgeanim[of-a-plugin]'"
    assert "ai-edge-litert>=2.0" in wheel_command("aarch64", "3.11", Path("/x"))


def test_where_the_environment_is_not_activated_its_own_pip_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another Python's pip finds no edgeanim, or installs where nobody looks."""
    another = tmp_path / "pip"
    another.write_text("#!/bin/sh\n")
    another.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "/home/pi/my venv/bin/python")
    there = {"edgeanim", "pip"}

    def distribution(name: str) -> str:
        if name not in there:
            raise importlib.metadata.PackageNotFoundError(name)
        return name

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    for path in (tmp_path, tmp_path / "empty"):
        monkeypatch.setenv("PATH", str(path))
        assert install_line("tflite") == (
            "'/home/pi/my venv/bin/python' -m pip install 'edgeanim[tflite]'"
        )
    there.remove("pip")
    assert install_line("tflite") == "pip install 'edgeanim[tflite]'"


def imported_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, json\n{code}\nprint(json.dumps(list(sys.modules)))"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "code",
    [
        "import edgeanim",
        "import edgeanim.api",
        "from click.testing import CliRunner\n"
        "from edgeanim.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0",
    ],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    assert imported_by(code) & HEAVY == set()


def test_a_board_process_loads_no_torch_and_no_onnx() -> None:
    code = (
        "import edgeanim.benchmarks.runner, edgeanim.benchmarks.timing.worker\n"
        "import edgeanim.runtime.player\n"
        "import edgeanim.targets.bundle\n"
        "from edgeanim.targets.backends import backend_names, get_backend\n"
        "[get_backend(name) for name in backend_names()]"
    )
    assert imported_by(code) & {"torch", "onnx", "nncf", "litert_torch"} == set()


def test_progress_loads_no_psutil_where_no_process_was_begun() -> None:
    code = (
        "from edgeanim.cli.progress import TerminalProgress\n"
        "with TerminalProgress() as progress:\n"
        "    progress.stage('Play')"
    )
    assert "psutil" not in imported_by(code)


def test_telemetry_is_off_before_anything_is_imported() -> None:
    code = (
        "import os, edgeanim\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
        "try:\n"
        "    import openvino_telemetry\n"
        "except ImportError:\n"
        "    pass\n"
        "else:\n"
        "    raise SystemExit('openvino_telemetry can be imported')"
    )
    imported_by(code)


def test_an_import_changes_nothing_but_telemetry() -> None:
    """It took a program's hub client offline, which then found no models."""
    code = (
        "import os\n"
        "os.environ.clear()\n"
        "import edgeanim.api\n"
        "assert set(os.environ) == {\n"
        "    'ORT_DISABLE_TELEMETRY', 'HF_HUB_DISABLE_TELEMETRY', 'DO_NOT_TRACK'}, os.environ"
    )
    imported_by(code)


def test_the_public_face_is_what_it_says() -> None:
    import edgeanim.api as api

    assert sorted(api.__all__) == list(api.__all__)
    for name in api.__all__:
        thing = getattr(api, name)
        assert thing.__doc__, f"edgeanim.api.{name} has no docstring"
    public = {name for name in dir(api) if not name.startswith("_")}
    assert set(api.__all__) <= public
