"""A net that paints beyond the value range of its contract is told of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.progress import Silent
from edgeanim.core.store import Store
from edgeanim.graph.load import load_model
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.work import Work
from edgeanim.runtime.scene import Scene
from tests.convnets import save_onnx


class Notes(Silent):
    """Progress that remembers the notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def done(self, note: str = "") -> None:
        self.said.append(note)


@pytest.mark.parametrize(
    ("low", "bounded", "told"),
    [(-1.0, False, True), (-1.0, True, False), (0.0, False, False)],
    ids=["beyond", "bounded", "within"],
)
def test_frames_that_are_clipped_are_told_of(
    pictures: np.ndarray, tmp_path: Path, low: float, bounded: bool, told: bool
) -> None:
    picture = TensorSpec("x", "driving_frame", (1, 3, 32, 32), "NCHW", range=(0.0, 1.0))
    frame = TensorSpec("y", "frame", (1, 3, 32, 32), "NCHW", range=(0.0, 1.0))
    spec = GraphSpec("net", "net.onnx", "frame", (picture,), (frame,))
    node = onnx.helper.make_node
    nodes = [
        node("Mul", ["x", "scale"], ["s"]),
        node("Add", ["s", "low"], ["a"]),
        node("Clip", ["a", "none", "one"], ["y"]) if bounded else node("Identity", ["a"], ["y"]),
    ]
    numbers = {"scale": 1 - low, "low": low, "none": 0.0, "one": 1.0}
    weights = {
        name: np.array(value)
        for name, value in numbers.items()
        if any(name in n.input for n in nodes)
    }
    model = load_model(save_onnx(tmp_path / "net.onnx", spec, nodes, weights))
    notes = Notes()
    work = Work.on("local", store=Store(tmp_path / "store"), progress=notes)
    for _ in range(2):  # the second time the frames come from the store
        notes.said.clear()
        make_golden(work, model, Scene(driver=np.stack(list(pictures))[:, :32, :32]))
        assert ["value range" in note for note in notes.said if note] == [True] * told
