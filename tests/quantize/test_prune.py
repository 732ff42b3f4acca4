from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.errors import DeviceFailed, GateFailed
from edgeanim.core.recipe import PruneSpec
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.distillation.train import Trainer
from edgeanim.quantize.pruning.allocation import uniform
from tests.quantize.played import outputs
from tests.quantize.prune_one import build_again, prune_graph
from tests.quantize.written import written

SPEC = PruneSpec(
    ratio=0.5,
    of="channels",
    importance="magnitude",
    round_to=4,
    rounds=1,
    steps=40,
    learning_rate=3e-3,
)


@pytest.fixture(scope="module")
def pruned(
    tmp_path_factory: pytest.TempPathFactory, unet: GraphArtifact, samples: ArraySamples
) -> GraphArtifact:
    return prune_graph(unet, samples, SPEC, tmp_path_factory.mktemp("pruned"))


def test_channels_go_and_the_ends_stay(pruned: GraphArtifact, unet: GraphArtifact) -> None:
    import onnx

    kernels = {
        tuple(tensor.dims)
        for tensor in onnx.load(str(pruned.path)).graph.initializer
        if len(tensor.dims) == 4
    }
    assert (8, 3, 3, 3) in kernels  # the stem: 16 -> 8, from the picture's 3
    assert (3, 8, 1, 1) in kernels  # the head still makes 3
    assert (16, 48, 3, 3) in kernels  # behind a concatenation: 32 + 16 of 64 + 32
    assert pruned.spec == unet.spec


def test_the_plan_tells_what_was_done(pruned: GraphArtifact) -> None:
    plan = json.loads(pruned.path.with_suffix(".prune.json").read_text())
    assert plan["macs_after"] < 0.35 * plan["macs_before"]
    assert plan["parameters_after"] < 0.35 * plan["parameters_before"]
    assert all(group["after"] * 2 == group["before"] for group in plan["groups"])
    assert min(plan["loss"]) < plan["loss"][0]


def test_recovery_brings_unseen_pictures_closer(
    pruned: GraphArtifact,
    unet: GraphArtifact,
    samples: ArraySamples,
    unseen: ArraySamples,
    tmp_path: Path,
) -> None:
    raw = prune_graph(unet, samples, replace(SPEC, steps=0), tmp_path)
    wanted = outputs(unet.path, unseen)

    def error(path: Path) -> float:
        return float(np.mean((outputs(path, unseen) - wanted) ** 2))

    assert error(pruned.path) < 0.8 * error(raw.path)


def test_the_pruned_graph_can_be_built_again_without_pickle(
    pruned: GraphArtifact, unet: GraphArtifact, unseen: ArraySamples, tmp_path: Path
) -> None:
    again = build_again(unet, pruned, tmp_path / "again.onnx")
    np.testing.assert_array_equal(outputs(again.path, unseen), outputs(pruned.path, unseen))


def test_equal_requests_give_equal_graphs(
    pruned: GraphArtifact, unet: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    again = prune_graph(unet, samples, SPEC, tmp_path)
    assert again.path.read_bytes() == pruned.path.read_bytes()


def test_a_ratio_of_zero_changes_nothing(
    unet: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    assert prune_graph(unet, samples, PruneSpec(ratio=0.0), tmp_path) is unet
    assert list(tmp_path.iterdir()) == []


def test_a_recovery_that_finds_no_memory_says_how_to_do_without(
    unet: GraphArtifact, samples: ArraySamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_step", lambda *_: torch.empty(1 << 50))
    with pytest.raises(DeviceFailed, match=r"The recovery needs more memory .* `--steps 0`"):
        prune_graph(unet, samples, SPEC, tmp_path)


def test_a_diverging_recovery_is_a_gate_and_leaves_nothing(
    unet: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    broken = ArraySamples({"image": np.full_like(samples.arrays["image"], np.nan)})
    with pytest.raises(GateFailed, match="diverged at step 1"):
        prune_graph(unet, broken, SPEC, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_gradient_that_is_not_finite_ends_the_recovery(
    unet: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    """It made all weights NaN, with which a warp then looked up what is not there."""
    body = """a = Conv <pads = [1,1,1,1]> (image, wa)
              none = Sub (a, a)
              square = Mul (none, none)
              length = Sqrt (square)
              b = Add (a, length)
              result = Conv <pads = [1,1,1,1]> (b, wr)"""
    path = written(tmp_path, body, {"wa": (16, 3, 3, 3), "wr": (3, 16, 3, 3)})
    net = GraphArtifact(unet.spec, path)
    with pytest.raises(GateFailed, match=r"no finite gradient at step 1.*`prune --steps 0`"):
        prune_graph(net, samples, SPEC, tmp_path)


@given(st.integers(1, 300), st.floats(0, 0.9), st.integers(1, 32))
def test_kept_channels_are_a_multiple_or_all(channels: int, ratio: float, unit: int) -> None:
    keep = uniform(channels, ratio, unit)
    assert 1 <= keep <= channels
    assert keep % unit == 0 or keep == channels
    if keep % unit == 0 and keep < channels:
        assert abs(keep - (1 - ratio) * channels) <= unit
