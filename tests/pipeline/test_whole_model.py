"""A model of several graphs, recorded while it plays and played again in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import UsageError
from edgeanim.core.recipe import PruneSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.calibrate import make_golden, record
from edgeanim.pipeline.export import export
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


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model whose convolutions all run once per still; a frame is half of what they made."""

    class Half(torch.nn.Module):
        def forward(self, image: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
            return 0.5 * image + 0.5 * code

    def picture(name: str, role: str) -> TensorSpec:
        return TensorSpec(name, role, (1, 3, 16, 16), "NCHW", range=(0.0, 1.0))

    torch.manual_seed(0)
    made = TensorSpec("code", "feature:code", (1, 3, 16, 16))
    convolutions = (torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.Conv2d(16, 3, 3, padding=1))
    frame = (picture("image", "driving_frame"), made)
    contract = Contract(
        "ready",
        (
            GraphSpec("once", "once.onnx", "once", (picture("still", "still"),), (made,)),
            GraphSpec("each", "each.onnx", "frame", frame, (picture("result", "frame"),)),
        ),
    )
    out = tmp_path_factory.mktemp("ready") / "ready"
    export(
        {"once": torch.nn.Sequential(*convolutions, torch.nn.Sigmoid()), "each": Half()},
        out=out,
        contract=contract,
    )
    return load_model(out)


def test_what_costs_a_frame_nothing_is_pruned_by_its_channels_alone(
    work: Work, ready: Model, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (6, 16, 16, 3), np.uint8)
    scene = Scene(clip[0], clip)
    material = Material((scene,), scene, separate=False)
    golden = make_golden(work, ready, scene)
    common = (work, ready, material, golden, tmp_path / "pruned")
    with pytest.raises(UsageError, match="runs once per still"):
        prune_model(*common, PruneSpec(ratio=0.5, round_to=4))
    spec = PruneSpec(ratio=0.5, of="channels", round_to=4, rounds=1, steps=2)
    done = prune_model(*common, spec)
    once, _ = done.graphs
    assert once.macs_after == once.macs_before / 2
    assert share_of_frame(ready, done.graphs) == 0
