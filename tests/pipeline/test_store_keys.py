"""What a stage is made from is in the key of its entry: something else is never taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import make_golden, record_samples
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.work import Work
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.scene import Scene
from tests.convnets import save_onnx
from tests.pipeline.contracts import PLAIN


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work.on("local", store=Store(tmp_path / "store"))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Gives each picture as it is."""
    helper = pytest.importorskip("onnx").helper
    (graph,) = PLAIN.graphs
    node = helper.make_node("Identity", ["image"], ["result"])
    path = save_onnx(tmp_path / "net.onnx", graph, [node], {})
    return Model(PLAIN, (GraphArtifact(graph, path),), "0" * 64)


def shades(first: int) -> list[np.ndarray]:
    """Sixteen slopes, each lighter than the one before it."""
    slope = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None], (16, 24, 3))
    return [slope + np.uint8(first + 4 * i) for i in range(16)]


def test_other_frames_are_recorded_anew_and_so_are_more_of_them(work: Work, model: Model) -> None:
    dark, light = (gather(PLAIN, shades(first), {}, limit=64) for first in (0, 100))
    found = {
        name: record_samples(work, model, material, count)["net"]
        for name, material, count in (
            ("dark", dark, 8),
            ("light", light, 8),
            ("more", dark, 12),
            ("again", dark, 8),
        )
    }
    lightest = {name: max(float(s["image"].max()) for s in each) for name, each in found.items()}
    assert lightest["dark"] < 0.4 < 0.5 < lightest["light"]
    assert (len(found["dark"]), len(found["more"])) == (8, 12)
    assert found["again"].digest == found["dark"].digest


def test_other_frames_to_judge_by_have_golden_frames_of_their_own(work: Work, model: Model) -> None:
    for pictures in (shades(0), shades(100)):
        golden = load_golden(make_golden(work, model, Scene(driver=np.stack(pictures))))
        np.testing.assert_array_equal(golden.frames, pictures)
