"""The outdated tflite-runtime: what it tells, and all of it in an environment of its own, with
Python <= 3.11 and NumPy < 2."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeanim.core.artifact import CompiledGraph
from edgeanim.targets.tflite_graph import executed_ops, has_8_bit_ops, open_interpreter

CODE = """
import json, numpy
from importlib import resources
from edgeanim.targets import smoke
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.bundle import open_bundle
backend = get_backend("tflite")
found = backend.available()
seen, int8 = {}, {}
packed = resources.files("edgeanim.targets").joinpath(smoke.BUNDLE)
with resources.as_file(packed) as path, open_bundle(path, trusted=False) as bundle:
    for variant in bundle.variants:
        if variant.backend == "tflite":
            (graph,) = variant.graphs
            session = backend.load(graph, SessionOptions())
            session.run({t.name: smoke.ramp(t) for t in graph.spec.inputs})
            int8[variant.precision] = backend.executed_precision(session).int8
            seen[variant.precision] = backend.interface(graph.files[0]).precision
print(json.dumps({
    "version": found.version, "note": found.note, "numpy": numpy.__version__,
    "errors": smoke.run_smoke("tflite"), "seen": seen, "int8": int8,
}))
"""


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_ran_is_read_where_the_runtime_lists_no_types_of_an_op(
    precision: str, compiled: Callable[..., CompiledGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tflite-runtime 2.14, which cannot be installed beside the one that the tests use."""
    interpreter = open_interpreter(compiled("tflite", precision).files[0])
    ran = executed_ops(interpreter)
    listed = [
        {key: op[key] for key in ("index", "op_name", "inputs", "outputs")}
        for op in interpreter._get_ops_details()
    ]
    monkeypatch.setattr(interpreter, "_get_ops_details", lambda: listed)
    assert executed_ops(interpreter) == ran
    assert has_8_bit_ops(interpreter) is (precision == "int8")


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
    assert said["seen"] == {"float32": "float32", "int8": "int8"}
    assert said["int8"]["float32"] == 0
    assert said["int8"]["int8"] > 0.9
