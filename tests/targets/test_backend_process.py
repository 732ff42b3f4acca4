"""What a backend does beside computing: the same bytes again, no socket, nothing heavy imported."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeanim.core.artifact import CompiledGraph, GraphArtifact
from edgeanim.core.parsing import to_plain
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from tests.targets.contract_inputs import Case, inputs_for


def test_compiling_again_gives_the_same_bytes_and_leaves_nothing_else(
    case: Case, tiny: Path, tmp_path: Path
) -> None:
    backend, graph = case
    if graph.scheme == "float32":
        source = GraphArtifact(
            replace(graph.spec, inputs=_nchw(graph), outputs=_nchw(graph, True)), tiny
        )
    else:
        source = GraphArtifact(graph.spec, graph.files[0], scheme=graph.scheme)
    again = backend.compile(source, load_board("local"), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in again.files)
    assert [p.suffix for p in again.files] == list(backend.suffixes[: len(again.files)])
    assert again.spec == graph.spec
    assert again.bindings == graph.bindings


def _nchw(graph: CompiledGraph, outputs: bool = False) -> tuple[object, ...]:
    tensors = graph.spec.outputs if outputs else graph.spec.inputs
    return tuple(tensor.in_layout("NCHW") for tensor in tensors)


def test_no_socket_is_opened(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, graph = case

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    backend.load(graph, SessionOptions()).run(inputs_for(graph.spec))


_LOAD_AND_RUN = """
import sys
for name in {absent}:
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.contract import GraphSpec
from edgeanim.core.errors import MissingComponent
from edgeanim.core.parsing import parse
from edgeanim.targets.backends import SessionOptions, get_backend
import json
data = json.loads(sys.stdin.read())
spec = parse(GraphSpec, data["spec"], where="test")
graph = CompiledGraph(data["backend"], data["precision"], data["scheme"], spec,
                      tuple(Path(f) for f in data["files"]), data["bindings"])
backend = get_backend(graph.backend)
there = backend.available()
try:
    session = backend.load(graph, SessionOptions())
except MissingComponent as error:
    print(json.dumps({{"extra": error.extra, "text": str(error), "reason": there.reason}}))
    raise SystemExit(error.exit_code)
session.run({{t.name: np.zeros(t.shape, np.float32) for t in spec.inputs}})
print(json.dumps(sorted(m for m in sys.modules if sys.modules[m] is not None)))
"""


def _in_subprocess(graph: CompiledGraph, absent: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _LOAD_AND_RUN.format(absent=absent)],
        input=json.dumps(to_plain(graph)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_loading_and_running_imports_neither_torch_nor_onnx(case: Case) -> None:
    backend, graph = case
    if backend.name == "torch":
        pytest.skip("it is torch: a reference for workstations, listed by no board")
    done = _in_subprocess(graph, absent=[])
    assert done.returncode == 0, done.stderr
    imported = {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert not imported & {"torch", "onnx", "tensorflow", "nncf", "litert_torch", "matplotlib"}
    assert done.stderr == ""


PACKAGES = {
    "onnxruntime": ["onnxruntime"],
    "openvino": ["openvino"],
    "tflite": ["ai_edge_litert", "tflite_runtime"],
    "torch": ["torch"],
}


@pytest.mark.parametrize("name", list(PACKAGES))
def test_an_absent_runtime_is_named_with_the_extra_that_brings_it(
    name: str, compiled: Callable[..., CompiledGraph]
) -> None:
    done = _in_subprocess(compiled(name), absent=PACKAGES[name])
    assert done.returncode == 4, done.stderr
    said = json.loads(done.stdout)
    assert said["extra"] == get_backend(name).extra
    assert f"pip install 'edgeanim[{get_backend(name).extra}]'" in said["text"]
    assert said["reason"]
