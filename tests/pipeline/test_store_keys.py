"""What a stage is made from is in the key of its entry: something else is never taken for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.limit import DriftLimit
from edgeanim.core.recipe import PruneSpec, QuantizeSpec
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.pipeline import distil, pruner
from edgeanim.pipeline.calibrate import make_golden, record_samples
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.search import trials
from edgeanim.pipeline.search.trials import Study, Trial
from edgeanim.pipeline.work import Work
from edgeanim.quantize.pruning.prune import Cut
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


HEEDED = ("ranges", "keep_float", "weight_limit", "results")


class Recorded:
    """So many samples that a graph is worth training on."""

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def __len__(self) -> int:
        return 64


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


def test_on_request_the_same_frames_are_recorded_in_other_light_too(
    work: Work, model: Model
) -> None:
    """And what was recorded without it is not taken for it."""
    dull = gather(PLAIN, shades(100), {}, limit=64)
    usual = record_samples(work, model, dull, 8)["net"]
    found = record_samples(work, model, dull, 8, in_other_light=True)["net"]
    assert (len(usual), len(found)) == (8, 16)
    for mine, theirs in zip(usual, found, strict=False):
        np.testing.assert_array_equal(mine["image"], theirs["image"])
    ends = [
        (np.min([s["image"] for s in each]), np.max([s["image"] for s in each]))
        for each in (usual, found)
    ]
    assert ends[1][0] < ends[0][0] < ends[0][1] < ends[1][1]


def test_other_frames_to_judge_by_have_golden_frames_of_their_own(work: Work, model: Model) -> None:
    for pictures in (shades(0), shades(100)):
        golden = load_golden(make_golden(work, model, Scene(driver=np.stack(pictures))))
        np.testing.assert_array_equal(golden.frames, pictures)


def test_another_recipe_and_other_frames_are_pruned_anew(
    work: Work, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float, int]] = []

    def cut(_contract: object, given: Any, takes: Any, spec: PruneSpec, *_: Any, **__: Any) -> Cut:
        asked.append((takes.digest, spec.ratio, spec.steps))
        return Cut(given, 1 - spec.ratio)

    monkeypatch.setattr(pruner, "prune_graphs", cut)
    wanted = [
        (takes, PruneSpec(ratio=ratio, round_to=4, steps=steps))
        for takes in ("dark", "light")
        for ratio, steps in ((0.25, 0), (0.5, 0), (0.5, 10))
    ]
    for takes, spec in (*wanted, *wanted):
        seen: Any = SimpleNamespace(digest=takes)
        made = pruner.Pruner(work, model, seen, Scene(), "onnxruntime").cut(spec)
        assert made.left == 1 - spec.ratio
    assert asked == [(takes, spec.ratio, spec.steps) for takes, spec in wanted]


def test_what_is_to_be_rounded_otherwise_is_distilled_anew(
    work: Work, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def trained(_graph: object, samples: Any, spec: object, folder: Path, **options: Any) -> None:
        asked.append((samples.digest, spec, *(getattr(options["grids"], name) for name in HEEDED)))
        (folder / "net.onnx").touch()

    monkeypatch.setattr(distil, "distil_graph", trained)
    monkeypatch.setattr(distil, "trains_any_of", lambda *_: True)
    plain = QuantizeSpec()
    asks = [
        ("dark", "onnx-qdq", plain),
        ("light", "onnx-qdq", plain),
        ("dark", "openvino-int8", plain),
        ("dark", "onnx-qdq", replace(plain, ranges="minmax")),
        ("dark", "onnx-qdq", replace(plain, keep_float=("head",))),
        ("dark", "onnx-qdq", replace(plain, reduce_range=True)),
        ("dark", "onnx-qdq", replace(plain, distil=replace(plain.distil, steps=7))),
    ]
    for frames, scheme, spec in (*asks, *asks):
        job: Any = SimpleNamespace(work=work, scheme=scheme, samples={"net": Recorded(frames)})
        distil._distilled(job, model.graphs[0], spec)
    assert len(asked) == len(set(asked)) == len(asks)


def test_another_board_has_graphs_compiled_for_it(work: Work, model: Model) -> None:
    """What it says of a backend decides what is compiled."""
    other = replace(work, board=replace(work.board, threads=work.board.threads + 1))
    made = [each.compile(model.graphs[0], "null").files for each in (work, other, work)]
    assert made[0] == made[2] != made[1]


@pytest.fixture
def studies(work: Work, model: Model) -> tuple[Study, ...]:
    """Of a search within a wide limit, and of one within a narrow one."""
    material = gather(PLAIN, shades(0), {}, limit=16)
    golden = make_golden(work, model, material.held_out)
    limits = (DriftLimit.of(0.02), DriftLimit.of(0.01))
    return tuple(Study(work, model, material, golden, limit) for limit in limits)


def test_a_trial_of_another_model_or_within_another_limit_is_quantised_anew(
    studies: tuple[Study, ...], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def quantized(_work: object, given: Model, *others: Any, gated: bool) -> None:
        *_, out, backends, spec, limit = others
        asked.append((given.digest, backends, spec, limit, gated))
        out.mkdir()

    monkeypatch.setattr(trials, "quantize_model", quantized)
    asks = [
        (study, given, Trial(backend, 1, quantize=QuantizeSpec(method="ptq", ranges=ranges)))
        for study in studies
        for given in (model, replace(model, digest="1" * 64))
        for backend in ("onnxruntime", "openvino")
        for ranges in ("mse", "minmax")
    ]
    for study, given, trial in (*asks, *asks):
        study._quantized(given, trial)
    assert len(asked) == len(set(asked)) == len(asks)


def test_the_limit_counts_for_what_was_sought_within_it_and_not_for_floats(
    studies: tuple[Study, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def played(_self: Study, trial: Trial) -> tuple[None, None]:
        asked.append(trial.id)
        return None, None

    frames = np.stack(shades(0))
    monkeypatch.setattr(Study, "variant", played)
    monkeypatch.setattr(trials, "drift_of", lambda *_: measure_drift(frames, frames))
    for study in (*studies, *studies):
        study.drift(Trial("onnxruntime", 1))
        study.drift(Trial("onnxruntime", 1, quantize=QuantizeSpec(method="mixed")))
    assert asked == ["onnxruntime-float32", *["onnxruntime-int8-mixed"] * 2]
