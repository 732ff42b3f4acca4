"""A model of several graphs, recorded while it plays and played again in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.recipe import PruneSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.calibrate import make_golden, record
from edgeanim.pipeline.material import Material
from edgeanim.pipeline.prune import prune_model, share_of_frame
from edgeanim.pipeline.work import Work, open_original, play
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Scene

torch = pytest.importorskip("torch")

SIDE = 64


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work.on("local", store=Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def model(exported_animator: Path) -> Model:
    return load_model(exported_animator)


@pytest.fixture(scope="module")
def material() -> Material:
    """Discs that wander over a pattern, followed frame by frame; and one moved by a track."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    scenes = []
    for _ in range(3):
        frames = []
        for step in range(5):
            frame = np.stack([x * 3, y * 3, (x + y) * 2], -1).astype(np.uint8)
            frame[(y - 20 - 4 * step) ** 2 + (x - 30) ** 2 < 90] = rng.integers(0, 255, 3)
            frames.append(frame)
        scenes.append(Scene(frames[0], np.stack(frames[1:])))
    values = rng.normal(0, 0.3, (6, 10, 6)).astype(np.float32)
    values[:, :, 2], values[:, :, 5] = 0.4, 0.5
    tracked = Scene(scenes[0].still, None, MotionTrack(values, 10.0))
    return Material((*scenes, tracked), tracked, separate=False)


def test_takes_play_in_pytorch_as_scenes_do_in_the_player(
    work: Work, model: Model, material: Material
) -> None:
    from edgeanim.graph.to_torch import import_torch
    from edgeanim.quantize.whole import Whole

    graphs = {graph.spec.name: import_torch(graph.path) for graph in model.graphs}
    whole = Whole(model.contract, graphs)
    takes = record(work, model, material, 24).takes
    assert [len(take.frames) for take in takes] == [4, 4, 4, 4, 2]
    made = []
    with torch.no_grad():
        for take in takes:
            played = whole(take)
            made += [played.seen(i, played.picture)[0] for i in range(len(take.frames))]
    with open_original(work, model.contract, model.graphs) as player:
        wanted = np.concatenate([play(player, scene) for scene in material.calibration])
    given = torch.stack(made).permute(0, 2, 3, 1).numpy()
    assert np.abs(given - wanted / 255).mean(axis=(1, 2, 3)).max() < 0.004


def test_graphs_are_pruned_together_and_play(
    work: Work, model: Model, material: Material, tmp_path: Path
) -> None:
    golden = make_golden(work, model, material.held_out)
    spec = PruneSpec(ratio=0.3, round_to=4, rounds=2, steps=10)
    done = prune_model(work, model, material, golden, tmp_path / "pruned", spec)
    assert share_of_frame(model, done.graphs) >= 0.27
    rows = {row.name: row for row in done.graphs}
    assert rows["encode"].macs_after == rows["encode"].macs_before
    assert done.drift.ssim_mean > 0.8
    again = load_model(tmp_path / "pruned")
    assert again.contract == model.contract
