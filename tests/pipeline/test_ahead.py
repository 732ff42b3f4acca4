"""What a process of its own compiles and quantises is there when it is wanted, and it never
outlives its use."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import psutil
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import EdgeanimError
from edgeanim.core.interruption import acknowledge, end_with
from edgeanim.core.recipe import QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import load_model
from edgeanim.graph.reading.infer import infer_contract
from edgeanim.pipeline import ahead as ahead_module
from edgeanim.pipeline import methods
from edgeanim.pipeline.ahead import Ahead, _has_room, working_ahead
from edgeanim.pipeline.methods import quantized_graph
from edgeanim.pipeline.work import Work
from edgeanim.quantize.calibration.samples import DiskSamples, SampleWriter

BACKEND = "onnxruntime"
SCHEME = "onnx-qdq"


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "_has_room", lambda: True)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work.on("local", store=Store(tmp_path / "store"))


@pytest.fixture
def graph(tiny_onnx: Callable[..., Path]) -> GraphArtifact:
    path = tiny_onnx(size=32)
    return GraphArtifact(infer_contract(path).graphs[0], path)


def others() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "ahead" in command_of(p)]


def command_of(process: psutil.Process) -> str:
    """Its command line, which the kernel shows a moment after the process has begun."""
    for _ in range(50):
        with suppress(psutil.NoSuchProcess):
            if (line := process.cmdline()) or process.status() == psutil.STATUS_ZOMBIE:
                return " ".join(line)
        time.sleep(0.01)
    return ""


def unasked(*_: object, **__: object) -> None:
    raise AssertionError("no process is to be started")


def test_the_store_has_it_once_it_was_waited_for(work: Work, graph: GraphArtifact) -> None:
    assert not work.has_compiled(graph, BACKEND)
    with working_ahead(work) as ahead:
        ahead.compile(BACKEND, [graph])
        assert len(others()) == 1
        ahead.wait()
        assert work.has_compiled(graph, BACKEND)
    assert not others()
    assert work.compile(graph, BACKEND).backend == BACKEND


def test_where_no_process_can_be_started_this_one_does_it_all(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refused)
    with working_ahead(work) as ahead:
        ahead.get_ready(BACKEND)
        ahead.compile(BACKEND, [graph])
        ahead.wait()
    assert work.compile(graph, BACKEND).backend == BACKEND


def test_it_gets_ready_before_there_is_a_graph(work: Work, graph: GraphArtifact) -> None:
    with working_ahead(work) as ahead:
        ahead.get_ready("tflite")
        assert len(others()) == 1
        ahead.compile(BACKEND, [graph])
        ahead.wait()
        assert work.has_compiled(graph, BACKEND)
    assert not others()


def test_what_it_quantised_is_taken_as_it_is(
    work: Work, tiny_onnx: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_onnx(size=32))
    graph = model.graphs[0]
    with SampleWriter(tmp_path / "samples", graph.spec) as writer:
        for seed in range(4):
            rng = np.random.default_rng(seed)
            shapes = {tensor.name: tensor.shape for tensor in graph.spec.inputs}
            writer.add({name: rng.random(s, np.float32) for name, s in shapes.items()})
    samples = DiskSamples(tmp_path / "samples")
    spec = QuantizeSpec(ranges="minmax")
    with working_ahead(work) as ahead:
        ahead.compile(BACKEND, model.graphs)
        ahead.quantize(BACKEND, model, SCHEME, spec, {graph.spec.name: samples})
        ahead.wait()
    monkeypatch.setattr(methods, "get_scheme", unasked)
    made = quantized_graph(work, graph, samples, SCHEME, spec)
    assert made.scheme == SCHEME
    assert made.path.is_file()


def test_leaving_the_block_ends_the_process(work: Work, graph: GraphArtifact) -> None:
    with working_ahead(work) as ahead:
        ahead.compile(BACKEND, [graph])
        assert len(others()) == 1
    assert not others()
    work.compile(graph, BACKEND)  # and no lock of it is left


def test_what_it_was_at_when_it_ended_does_not_lie_about(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead_module, "_LAST_SECONDS", 100)  # a busy machine is no failure
    root = work.store.root
    with working_ahead(work) as ahead:
        ahead.compile("tflite", [graph])
        end = time.monotonic() + 100
        while not list(root.rglob(".partial-*")):
            assert time.monotonic() < end
            time.sleep(0.01)
    assert list(root.rglob(".*")) == []


def test_an_interrupt_ends_the_process_too(work: Work, graph: GraphArtifact) -> None:
    with pytest.raises(KeyboardInterrupt), working_ahead(work) as ahead:
        ahead.compile(BACKEND, [graph])
        raise KeyboardInterrupt
    assert not others()


def test_a_further_ctrl_c_waits_until_it_has_ended(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would still be clearing away when the command is over, or be killed at it."""
    end = Ahead.end

    def pressed(ahead: Ahead) -> None:
        end_with(KeyboardInterrupt())
        end(ahead)

    monkeypatch.setattr(Ahead, "end", pressed)
    with pytest.raises(KeyboardInterrupt), working_ahead(work) as ahead:
        ahead.compile(BACKEND, [graph])
    acknowledge()
    assert not others()


def test_nothing_is_started_for_what_is_there_or_is_to_be_made_afresh(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", unasked)
    with working_ahead(Work(work.board, work.store, fresh=True)) as ahead:
        ahead.get_ready(BACKEND)
        ahead.compile(BACKEND, [graph])
        ahead.wait()
    work.compile(graph, BACKEND)
    with working_ahead(work) as ahead:
        ahead.compile(BACKEND, [graph])
        ahead.wait()


def test_nothing_is_started_where_it_would_stand_in_the_way(
    work: Work, graph: GraphArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", unasked)
    monkeypatch.setattr(ahead_module, "_has_room", lambda: False)
    with working_ahead(work) as ahead:
        ahead.compile(BACKEND, [graph])


@pytest.mark.parametrize(
    ("processors", "free_gb", "locks", "room"),
    [(2, 4, True, True), (1, 4, True, False), (2, 3.9, True, False), (2, 4, False, False)],
)
def test_there_is_room_beside_a_second_processor_with_memory_and_locks(
    processors: int, free_gb: float, locks: bool, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: list(range(processors)))
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    memory = SimpleNamespace(available=int(free_gb * (1 << 30)))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(ahead_module, "HAS_LOCKS", locks)
    assert _has_room() is room


def test_what_it_fails_at_is_said_by_whoever_wants_it(
    work: Work, graph: GraphArtifact, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(str(graph.path))
    model.graph.node[-1].op_type = "Odd"
    odd = GraphArtifact(graph.spec, tmp_path / "odd.onnx")
    odd.path.write_bytes(model.SerializeToString())
    with working_ahead(work) as ahead:
        ahead.compile("tflite", [odd])
        ahead.compile(BACKEND, [graph])
        ahead.wait()
        assert capfd.readouterr() == ("", "")
        assert work.has_compiled(graph, BACKEND)  # what comes after it is done all the same
        with pytest.raises(EdgeanimError, match="Odd"):
            work.compile(odd, "tflite")
