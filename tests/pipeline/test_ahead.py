"""What a process of its own compiles is there when it is wanted, and it never outlives its use."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import psutil
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import EdgeanimError
from edgeanim.core.store import Store
from edgeanim.graph.infer import infer_contract
from edgeanim.pipeline import ahead
from edgeanim.pipeline.ahead import compiled_ahead
from edgeanim.pipeline.work import Work

BACKEND = "onnxruntime"


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_has_room", lambda: True)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work.on("local", store=Store(tmp_path / "store"))


@pytest.fixture
def graph(tiny_onnx: Callable[..., Path]) -> GraphArtifact:
    path = tiny_onnx(size=32)
    return GraphArtifact(infer_contract(path).graphs[0], path)


def others() -> list[psutil.Process]:
    return [
        p for p in psutil.Process().children(recursive=True) if "ahead" in " ".join(p.cmdline())
    ]


def unasked(*_: object, **__: object) -> None:
    raise AssertionError("no process is to be started")


def test_the_store_has_it_once_it_was_waited_for(work: Work, graph: GraphArtifact) -> None:
    assert not work.has_compiled(graph, BACKEND)
    with compiled_ahead(work, BACKEND, [graph]) as wait:
        assert len(others()) == 1
        wait()
        assert work.has_compiled(graph, BACKEND)
    assert not others()
    assert work.compile(graph, BACKEND).backend == BACKEND


def test_leaving_the_block_ends_the_process(work: Work, graph: GraphArtifact) -> None:
    with compiled_ahead(work, BACKEND, [graph]):
        pass
    assert not others()
    work.compile(graph, BACKEND)  # and no lock of it is left


def test_an_interrupt_ends_the_process_too(work: Work, graph: GraphArtifact) -> None:
    with pytest.raises(KeyboardInterrupt), compiled_ahead(work, BACKEND, [graph]):
        raise KeyboardInterrupt
    assert not others()


def test_nothing_is_started_for_what_is_there_or_is_to_be_made_afresh(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", unasked)
    afresh = Work(work.board, work.store, fresh=True)
    with compiled_ahead(afresh, BACKEND, [graph]) as wait:
        wait()
    work.compile(graph, BACKEND)
    with compiled_ahead(work, BACKEND, [graph]) as wait:
        wait()


def test_nothing_is_started_where_it_would_stand_in_the_way(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", unasked)
    monkeypatch.setattr(ahead, "_has_room", lambda: False)
    with compiled_ahead(work, BACKEND, [graph]):
        pass


def test_what_it_fails_at_is_said_by_whoever_wants_it(
    work: Work, graph: GraphArtifact, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(str(graph.path))
    model.graph.node[-1].op_type = "Odd"
    odd = GraphArtifact(graph.spec, tmp_path / "odd.onnx")
    odd.path.write_bytes(model.SerializeToString())
    with compiled_ahead(work, "tflite", [odd]) as wait:
        wait()
        assert capfd.readouterr() == ("", "")
        with pytest.raises(EdgeanimError, match="Odd"):
            work.compile(odd, "tflite")
