"""Distillation: the schemes' own grids in PyTorch, better INT8, the same weights every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.benchmarks.drift.frames import ssim
from edgeanim.core.artifact import Array, GraphArtifact
from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.core.progress import Progress, Silent
from edgeanim.core.recipe import DistilSpec, QuantizeSpec
from edgeanim.graph.pytorch.converters.convolution import ConvTranspose2d
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.pytorch.traced import traced_shapes
from edgeanim.pipeline.figures.public_tools import onnxruntime_static
from edgeanim.pipeline.work import Work
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.distillation.distil import Grids, distil_graph
from edgeanim.quantize.distillation.fake_quant import (
    RoundedValue,
    RoundedWeight,
    collect_ranges,
    insert_rounding,
    remove_rounding,
)
from edgeanim.quantize.distillation.loss import ssim as torch_ssim
from edgeanim.quantize.distillation.placement import find_placement
from edgeanim.quantize.distillation.train import Trainer
from edgeanim.quantize.schemes import get_scheme
from edgeanim.quantize.schemes.qdq import QdqScheme
from edgeanim.targets.board import Board
from tests.quantize.cyclegan import (
    as_samples,
    photographs,
    similarity,
    train_generator,
)
from tests.quantize.played import backend_of, outputs, play

SIZE = 32
SPEC = DistilSpec(steps=60, every=15)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> GraphArtifact:
    """A generator of seconds: what it draws is rough, how INT8 treats it is not."""
    path = tmp_path_factory.mktemp("cyclegan") / "cyclegan.onnx"
    return train_generator(path, size=SIZE, width=6, blocks=1, steps=60, batch=2)


@pytest.fixture(scope="module")
def frames() -> ArraySamples:
    return as_samples(photographs(18, SIZE, seed=55))


@pytest.fixture(scope="module")
def unseen_frames() -> ArraySamples:
    return as_samples(photographs(6, SIZE, seed=777))


@pytest.fixture(scope="module")
def distilled(
    tmp_path_factory: pytest.TempPathFactory, generator: GraphArtifact, frames: ArraySamples
) -> GraphArtifact:
    out = tmp_path_factory.mktemp("distilled")
    return distil_graph(
        generator, frames, SPEC, out, grids=Grids(weight_limit=QdqScheme.seven_bit_limit)
    )


def test_default_int8_falls_and_ours_holds(
    generator: GraphArtifact,
    distilled: GraphArtifact,
    frames: ArraySamples,
    unseen_frames: ArraySamples,
    old_board: Board,
    tmp_path: Path,
) -> None:
    wanted = outputs(generator.path, unseen_frames)
    default = onnxruntime_static(Work(old_board), generator, frames, tmp_path)
    spec = QuantizeSpec()
    ours = get_scheme("onnx-qdq").quantize(distilled, frames, spec, old_board, tmp_path / "ours")
    fallen = similarity(outputs(default.path, unseen_frames), wanted)
    held = similarity(outputs(ours.path, unseen_frames), wanted)
    assert fallen.mean() < 0.9
    assert held.mean() > 0.5 * (1 + fallen.mean())


def test_the_record_tells_what_was_done(distilled: GraphArtifact) -> None:
    record = json.loads(distilled.path.with_suffix(".distil.json").read_text())
    assert len(record["held_out"]) == 1 + SPEC.steps // SPEC.every
    assert min(record["held_out"]) < 0.8 * record["plain"]


def test_nodes_keep_their_names(generator: GraphArtifact, distilled: GraphArtifact) -> None:
    import onnx

    def convolutions(path: Path) -> list[str]:
        graph = onnx.load(str(path)).graph
        return [node.name for node in graph.node if node.op_type == "Conv"]

    assert convolutions(distilled.path) == convolutions(generator.path)


class Killed(Silent):
    """Stops like Ctrl-C in the middle of step 40."""

    def __init__(self) -> None:
        self.steps = 0

    def stage(self, title: str, total: int | None = None) -> None:  # noqa: ARG002
        self.steps = 0
        self.counts = title == "Distil"

    def step(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.steps += count
        if self.counts and self.steps == 40:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    generator: GraphArtifact, distilled: GraphArtifact, frames: ArraySamples, tmp_path: Path
) -> None:
    state = tmp_path / "state"

    def run(out: Path, progress: Progress) -> GraphArtifact:
        return distil_graph(
            generator,
            frames,
            SPEC,
            out,
            grids=Grids(weight_limit=QdqScheme.seven_bit_limit),
            state=state,
            progress=progress,
        )

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", Killed())
    assert json.loads((state / "state.json").read_text())["step"] == 30
    again = run(tmp_path / "b", Silent())
    assert again.path.read_bytes() == distilled.path.read_bytes()


def test_distilling_that_finds_no_memory_says_how_to_do_without(
    generator: GraphArtifact, frames: ArraySamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_step", lambda *_: torch.empty(1 << 50))
    with pytest.raises(DeviceFailed, match=r"Distilling needs more memory .* `--method mixed`"):
        distil_graph(generator, frames, SPEC, tmp_path)


def test_too_few_samples_are_refused(
    generator: GraphArtifact, frames: ArraySamples, tmp_path: Path
) -> None:
    few = ArraySamples({"image": frames.arrays["image"][:5]})
    with pytest.raises(BadInput, match="5 samples are too few"):
        distil_graph(generator, few, SPEC, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["onnx-qdq", "openvino-int8"])
def test_rounding_in_pytorch_is_what_the_runtime_computes(
    name: str,
    unet: GraphArtifact,
    samples: ArraySamples,
    unseen: ArraySamples,
    old_board: Board,
    tmp_path: Path,
) -> None:
    scheme = get_scheme(name)
    made = scheme.quantize(
        unet, samples, QuantizeSpec(ranges="minmax"), old_board, tmp_path / "made"
    )
    real, _ = play(made, backend_of(made.scheme), old_board, unseen, tmp_path / "compiled")
    exact = outputs(unet.path, unseen)
    graph = import_torch(unet.path)
    batches = [graph.tensors(sample) for sample in samples]
    shapes = traced_shapes(graph.module, batches[0])
    placement = find_placement(graph.module, shapes, results=scheme.rounds_results)
    insert_rounding(graph.module, placement, weight_limit=scheme.seven_bit_limit)
    collect_ranges(graph.module, batches, "minmax")

    def in_torch() -> Array:
        with torch.no_grad():
            return np.concatenate([graph.module(*graph.tensors(s))[0].numpy() for s in unseen])

    simulated = in_torch()
    assert np.square(simulated - real).mean() < 0.3 * np.square(exact - real).mean()
    remove_rounding(graph.module)
    np.testing.assert_allclose(in_torch(), exact, atol=1e-5)


@given(st.floats(-9, 0), st.floats(0.01, 9), st.lists(st.floats(-20, 20), min_size=1, max_size=20))
@settings(deadline=None)
def test_values_lie_on_a_grid_of_256_with_zero(low: float, high: float, given: list[float]) -> None:
    rounding = RoundedValue()
    rounding.low, rounding.high = low, high
    scale = (high - low) / 255
    zero = round(-low / scale)
    x = np.array([0.0, *given])
    wanted = (np.clip(np.round(x / scale) + zero, 0, 255) - zero) * scale
    found = rounding.rounded(torch.from_numpy(x)).numpy()
    assert found[0] == 0
    np.testing.assert_allclose(found, wanted, atol=scale * 1.001)  # ties
    assert np.mean(np.abs(found - wanted) < 1e-6) >= 0.5


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_each_phase_of_a_transposed_convolution_has_its_own_scale(kernel: int) -> None:
    torch.manual_seed(kernel)
    layer = ConvTranspose2d(4, 3, kernel, stride=2)
    rounded = RoundedWeight(7, 2, transposed=True)(layer.weight.detach())
    for channel in range(3):
        for row, column in np.ndindex(2, 2):
            exact = layer.weight[:, channel, row::2, column::2].detach()
            scale = exact.abs().max() / 7
            found = rounded[:, channel, row::2, column::2]
            torch.testing.assert_close(found, (exact / scale).round() * scale)


def test_the_loss_uses_the_ssim_that_drift_is_measured_by() -> None:
    rng = np.random.default_rng(0)
    one = rng.uniform(0, 255, (24, 20, 3))
    other = (one + rng.normal(0, 30, one.shape)).clip(0, 255)
    tensors = [torch.from_numpy(x).permute(2, 0, 1)[None] for x in (one, other)]
    assert float(torch_ssim(*tensors, 255.0)) == pytest.approx(ssim(one, other), abs=1e-6)


def test_results_that_float_ops_read_stay_float_where_the_runtime_leaves_them(
    generator: GraphArtifact, frames: ArraySamples
) -> None:
    graph = import_torch(generator.path)
    shapes = traced_shapes(graph.module, graph.tensors(next(iter(frames))))
    strict = find_placement(graph.module, shapes)
    lenient = find_placement(graph.module, shapes, results=False)
    nodes = {node.name: node for node in graph.module.graph.nodes}
    convolutions = {n for n in strict.values if str(nodes[n].target) in strict.convolutions}
    assert convolutions, "instance norms read what convolutions give"
    assert convolutions.isdisjoint(lenient.values)
    assert set(lenient.values) <= set(strict.values) | {"image"}
    assert set(strict.convolutions) <= set(lenient.convolutions)
