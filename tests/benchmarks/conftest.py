from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeanim.benchmarks.runner import Subject
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.player import Player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board


def contract_for(path: Path, size: int = 64) -> Contract:
    shape = (1, 3, size, size)
    return Contract(
        "tiny",
        (
            GraphSpec(
                "tiny",
                path.name,
                "frame",
                (TensorSpec("image", "driving_frame", shape, "NCHW", range=(0.0, 1.0)),),
                (TensorSpec("result", "frame", shape, "NCHW", range=(0.0, 1.0)),),
            ),
        ),
    )


@pytest.fixture(scope="session")
def compile_tiny(
    tiny_onnx: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Subject]:
    """`compile_tiny(backend)` -> a float32 subject of the tiny generator."""

    def make(backend: str) -> Subject:
        onnx = tiny_onnx()
        contract = contract_for(onnx)
        artifact = GraphArtifact(contract.graphs[0], onnx)
        out = tmp_path_factory.mktemp(backend)
        graph = get_backend(backend).compile(artifact, load_board("local"), out)
        return Subject(f"{backend}-float32", contract, (graph,))

    return make


@pytest.fixture(scope="session")
def golden(
    compile_tiny: Callable[[str], Subject],
    pictures: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Golden frames of the tiny generator, by ONNX Runtime."""
    pytest.importorskip("onnxruntime")
    subject = compile_tiny("onnxruntime")
    session = get_backend("onnxruntime").load(subject.graphs[0], SessionOptions())
    scene = Scene(driver=pictures)
    with Player(subject.contract, {"tiny": session}) as player:
        frames = np.stack(list(player.play(scene)))
    path = tmp_path_factory.mktemp("golden") / "golden.npz"
    save_golden(path, Golden(scene, frames))
    return path
