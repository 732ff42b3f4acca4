"""A model of several graphs, recorded while it plays and played again in PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeanim.core.contract import Contract, GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.limit import DriftLimit
from edgeanim.core.recipe import Method, PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.calibrate import make_golden, record
from edgeanim.pipeline.compile import compile_model
from edgeanim.pipeline.export import export
from edgeanim.pipeline.frames.material import Material
from edgeanim.pipeline.prune import prune_model, share_of_frame
from edgeanim.pipeline.quantize import quantize_model
from edgeanim.pipeline.work import Work, open_original, play
from edgeanim.quantize.onnx_nodes import name_nodes
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.scene import Scene
from edgeanim.targets.bundle import open_bundle

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
    from edgeanim.graph.pytorch.to_torch import import_torch
    from edgeanim.quantize.pruning.whole import WholeModel

    graphs = {graph.spec.name: import_torch(graph.path) for graph in model.graphs}
    whole = WholeModel(model.contract, graphs)
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


class Painter(torch.nn.Module):
    """A frame of the driver, and a feature of the still."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.last = torch.nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, volume: torch.Tensor, driving: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.last(torch.relu(self.first(driving + volume))))


@pytest.mark.parametrize("method", ["ptq", "mixed", "distil"])
def test_a_graph_without_convolutions_stays_in_float_beside_the_others(
    method: Method, work: Work, ready: Model, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (16, 16, 16, 3), np.uint8)
    material = Material((Scene(clip[0], clip),), Scene(clip[1], clip), separate=False)
    golden = make_golden(work, ready, material.held_out)
    backends = ("onnxruntime", "openvino", *(("tflite",) if method == "ptq" else ()))
    spec = QuantizeSpec(method=method, samples=8)
    limit = DriftLimit(0.2, 0.5)
    done = quantize_model(work, ready, material, golden, tmp_path / "int8", backends, spec, limit)
    assert [row.in_float for row in done.variants] == [("each",)] * len(backends)
    out = tmp_path / "ready.eab"
    compile_model(work, ready, tmp_path / "int8", golden, out, backends)
    with open_bundle(out) as bundle:
        assert {v.id for v in bundle.variants} >= {f"{name}-int8" for name in backends}


def test_a_graph_of_volumes_stays_in_float_on_tflite(work: Work, tmp_path: Path) -> None:
    """TFLite has no convolution of volumes in INT8, which ended the search."""
    picture = TensorSpec("still", "still", (1, 3, 16, 16), "NCHW", range=(0.0, 1.0))
    made = TensorSpec("volume", "feature:volume", (1, 3, 16, 16))
    frame = TensorSpec("frame", "frame", (1, 3, 16, 16), "NCHW", range=(0.0, 1.0))
    driving = replace(picture, name="driving", role="driving_frame")
    contract = Contract(
        "deep",
        (
            GraphSpec("lift", "lift.onnx", "once", (picture,), (made,)),
            GraphSpec("paint", "paint.onnx", "frame", (made, driving), (frame,)),
        ),
    )
    torch.manual_seed(0)
    lift = torch.nn.Sequential(
        torch.nn.Unflatten(1, (3, 1)), torch.nn.Conv3d(3, 3, 3, padding=1), torch.nn.Flatten(1, 2)
    )
    export({"lift": lift, "paint": Painter()}, out=tmp_path / "deep", contract=contract)
    model = load_model(tmp_path / "deep")
    clip = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    material = Material((Scene(clip[0], clip),), Scene(clip[1], clip), separate=False)
    golden = make_golden(work, model, material.held_out)
    spec, limit = QuantizeSpec(method="ptq", samples=8), DriftLimit(0.5, 0.5)
    common = (work, model, material, golden, tmp_path / "int8")
    (row,) = quantize_model(*common, ("tflite",), spec, limit).variants
    assert row.in_float == ("lift",)


def test_a_model_without_convolutions_is_refused_before_any_work(
    ready: Model, tmp_path: Path
) -> None:
    work = Work.on("local", store=Store(tmp_path / "store"))
    clip = np.zeros((4, 16, 16, 3), np.uint8)
    scene = Scene(clip[0], clip)
    golden = make_golden(work, ready, scene)
    nodes = tuple(f"once:{name}" for name in convolutions_in(ready.graph("once").path))
    common = (work, ready, Material((scene,), scene, separate=False), golden, tmp_path / "int8")
    with pytest.raises(BadInput, match="no convolution"):
        quantize_model(*common, ("onnxruntime",), QuantizeSpec(keep_float=nodes), DriftLimit())
    assert not list(work.store.root.glob("samples/*"))


def convolutions_in(path: Path) -> list[str]:
    model = onnx.load(str(path))
    name_nodes(model)
    return [node.name for node in model.graph.node if node.op_type == "Conv"]
