"""A net that paints beyond the value range of its contract is told of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.native import write_png
from edgeanim.core.progress import Silent
from edgeanim.core.store import Store
from edgeanim.graph.load import load_model
from edgeanim.pipeline import bench
from edgeanim.pipeline.calibrate import make_golden
from edgeanim.pipeline.clipping import clipped_share
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import Golden
from edgeanim.runtime.scene import Scene
from tests.convnets import save_onnx


class Notes(Silent):
    """Progress that remembers the notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def done(self, note: str = "") -> None:
        self.said.append(note)


def _net(folder: Path, low: float, *, bounded: bool = False) -> Path:
    """An ONNX that paints the picture x, in 0..1, as low + (1 - low) * x."""
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
    return save_onnx(folder / "net.onnx", spec, nodes, weights)


@pytest.mark.parametrize(
    ("low", "bounded", "told"),
    # What paints 2 * x - 1 is known to paint -1..1.
    [(-2.0, False, True), (-2.0, True, False), (-1.0, False, False), (0.0, False, False)],
    ids=["beyond", "bounded", "signed", "within"],
)
def test_frames_that_are_clipped_are_told_of(
    pictures: np.ndarray, tmp_path: Path, low: float, bounded: bool, told: bool
) -> None:
    model = load_model(_net(tmp_path, low, bounded=bounded))
    notes = Notes()
    work = Work.on("local", store=Store(tmp_path / "store"), progress=notes)
    for _ in range(2):  # the second time the frames come from the store
        notes.said.clear()
        make_golden(work, model, Scene(driver=np.stack(list(pictures))[:, :32, :32]))
        assert ["value range" in note for note in notes.said if note] == [True] * told


@pytest.mark.parametrize(
    ("shown", "made", "told"), [(0, 25, 0.25), (0, 24, None), (20, 45, 0.45), (20, 44, None)]
)
def test_what_counts_as_clipped_is_a_quarter_more_than_of_the_pictures_shown(
    shown: int, made: int, told: float | None
) -> None:
    def at_the_ends(count: int) -> np.ndarray:
        values = np.full((1, 20, 5, 3), 128, np.uint8)
        values.reshape(100, 3)[:count] = (0, 255, 255)
        return values

    golden = Golden(Scene(driver=at_the_ends(shown)), at_the_ends(made))
    assert clipped_share(golden) == told


@pytest.mark.parametrize(
    ("low", "values", "told"),
    [(-1.0, None, True), (0.0, None, False), (2.0, None, True), (2.0, (0.0, 2.0), False)],
)
def test_frames_of_a_ready_made_model_that_are_clipped_are_told_of(
    pictures: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    low: float,
    values: tuple[float, float] | None,
    told: bool,
) -> None:
    class Measured(Exception):
        pass

    def run_bench(*_: object, **__: object) -> None:
        raise Measured

    monkeypatch.setattr(bench, "run_bench", run_bench)
    (tmp_path / "frames").mkdir()
    for number, picture in enumerate(pictures):
        write_png(tmp_path / "frames" / f"{number}.png", np.ascontiguousarray(picture[:32, :32]))
    notes = Notes()
    net = _net(tmp_path, low)
    with pytest.raises(Measured):
        bench.bench(net, frames=tmp_path / "frames", values=values, progress=notes)
    assert ["taken to be in 0..1" in note for note in notes.said if note] == [True] * told
