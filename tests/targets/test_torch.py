"""What only the PyTorch backend has: a choice of device, and no board that lists it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import CompiledGraph, GraphArtifact
from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.backends import torch as torch_backend
from edgeanim.targets.board import board_names, load_board, load_shipped_board
from tests.targets.conftest import SPEC, sample


def _gpu() -> bool:
    torch = pytest.importorskip("torch")
    return bool(torch.cuda.is_available())


def test_a_gpu_that_is_not_there_is_an_error_and_no_fallback(
    compiled: Callable[..., CompiledGraph],
) -> None:
    if _gpu():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceFailed, match="no NVIDIA GPU"):
        get_backend("torch").load(compiled("torch"), SessionOptions(settings={"device": "cuda"}))


def test_a_board_without_it_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor would offer a small board gigabytes that play nothing there."""
    monkeypatch.setattr(torch_backend, "installed", lambda name: name != "torch")
    found = get_backend("torch").available()
    assert not found
    assert found.note is not None
    assert "for no board" in found.note


def test_a_gpu_agrees_with_the_cpu(compiled: Callable[..., CompiledGraph]) -> None:
    if not _gpu():
        pytest.skip("there is no GPU")
    graph, backend = compiled("torch"), get_backend("torch")
    results = [
        backend.load(graph, SessionOptions(settings={"device": device})).run(sample())["result"]
        for device in ("cpu", "cuda")
    ]
    assert abs(results[0] - results[1]).max() < 1e-4


def test_a_device_that_makes_no_sense_is_refused(compiled: Callable[..., CompiledGraph]) -> None:
    with pytest.raises(BadInput, match="tpu"):
        get_backend("torch").load(compiled("torch"), SessionOptions(settings={"device": "tpu"}))


def test_external_weights_are_brought_into_the_file(
    tiny: Path, compiled: Callable[..., CompiledGraph], tmp_path: Path
) -> None:
    import onnx

    source, out = tmp_path / "source", tmp_path / "out"
    for folder in (source, out):
        folder.mkdir()
    path, backend = source / "tiny.onnx", get_backend("torch")
    onnx.save(
        onnx.load(str(tiny)),
        str(path),
        save_as_external_data=True,
        location="tiny.onnx.data",
        size_threshold=0,
    )
    graph = backend.compile(GraphArtifact(SPEC, path), load_board("local"), out)
    assert [file.name for file in out.iterdir()] == ["tiny.onnx"]
    ours, theirs = (
        backend.load(made, SessionOptions()).run(sample())["result"]
        for made in (graph, compiled("torch"))
    )
    np.testing.assert_array_equal(ours, theirs)


def test_no_shipped_board_runs_on_the_reference() -> None:
    for name in board_names():
        assert "torch" not in [entry.name for entry in load_shipped_board(name).backends]
