"""The outdated tflite-runtime, in an environment of its own: Python <= 3.11 and NumPy < 2."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CODE = """
import json, numpy
from edgeanim.targets.backends import get_backend
from edgeanim.targets.smoke import run_smoke
found = get_backend("tflite").available()
print(json.dumps({
    "version": found.version, "note": found.note, "numpy": numpy.__version__,
    "errors": run_smoke("tflite"),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime stopped at Python 3.11")
def test_the_old_runtime_runs_our_files_and_says_that_it_is_old(tmp_path: Path) -> None:
    # A copy, because building a wheel leaves a build folder beside the sources.
    root = shutil.copytree(
        Path(__file__).parents[2],
        tmp_path / "source",
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "build", "dist", "runs", "tests"),
    )
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [str(python), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("-m", "pip", "install", "--quiet", f"{root}[tflite-runtime]")
    call("-m", "pip", "check")
    said = json.loads(call("-c", CODE).splitlines()[-1])
    assert said["version"].startswith("tflite-runtime 2.14")
    assert "stopped" in said["note"]
    assert said["numpy"].startswith("1.")
    assert set(said["errors"]) == {"float32", "int8"}
    assert said["errors"]["float32"] < 1e-5
    assert said["errors"]["int8"] < 0.03
