"""Samples of a graph's own inputs in an .npz become scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.artifact import GraphArtifact
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import record_samples
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.work import Work
from tests.convnets import save_onnx
from tests.pipeline.contracts import MOVING, PLAIN, STYLED


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """An .npz of sixteen samples; the first value of picture i is i / 255, its style starts with
    i."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (16, 3, 16, 24)).astype(np.float32)
    styles = rng.normal(0, 1, (16, 4)).astype(np.float32)
    images[:, 0, 0, 0], styles[:, 0] = np.arange(16) / 255, np.arange(16)
    np.savez(tmp_path / "calib.npz", **{"image": images, "net/style": styles})
    return tmp_path / "calib.npz"


def test_an_npz_brings_the_graphs_own_inputs(pairs: Path) -> None:
    material = gather(STYLED, pairs, {}, limit=64)
    for scene, wanted in (
        (material.calibration[0], [i for i in range(16) if i % 4 != 3]),
        (material.held_out, [3, 7, 11, 15]),
    ):
        assert np.asarray(scene.driver)[:, 0, 0, 0].tolist() == wanted
        assert scene.conditions["net_style"][:, 0].tolist() == wanted


def test_samples_stay_together_where_fewer_are_recorded(pairs: Path, tmp_path: Path) -> None:
    helper = pytest.importorskip("onnx").helper
    nodes = [
        helper.make_node("ReduceMean", ["net/style"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["image", "mean"], ["result"]),
    ]
    path = save_onnx(tmp_path / "net.onnx", STYLED.graphs[0], nodes, {})
    model = Model(STYLED, (GraphArtifact(STYLED.graphs[0], path),), "0" * 64)
    material = gather(STYLED, pairs, {}, limit=64)
    samples = record_samples(Work.on("local"), model, material, 5)["net"]
    assert len(samples) == 5
    for sample in samples:
        assert sample["image"][0, 0, 0, 0] * 255 == pytest.approx(sample["net/style"][0, 0])


def test_an_input_that_an_npz_brings_is_not_given_twice(pairs: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.ones((1, 4), np.float32))
    with pytest.raises(UsageError, match="'net_style' for each sample"):
        gather(STYLED, pairs, {"net/style": tmp_path / "s.npy"}, limit=64)


def test_an_input_that_is_given_need_not_be_in_the_npz(pairs: Path, tmp_path: Path) -> None:
    with np.load(pairs) as whole:
        np.savez(tmp_path / "images.npz", image=whole["image"])
    np.save(tmp_path / "s.npy", np.ones((1, 4), np.float32))
    given = {"net/style": tmp_path / "s.npy"}
    material = gather(STYLED, tmp_path / "images.npz", given, limit=64)
    assert material.held_out.conditions["net_style"].tolist() == [[1, 1, 1, 1]]
    assert len(np.asarray(material.calibration[0].driver)) == 12
    with pytest.raises(BadInput, match="lacks 'net/style'"):
        gather(STYLED, tmp_path / "images.npz", {}, limit=64)


def test_a_state_goes_from_sample_to_sample_and_is_not_read(pairs: Path, tmp_path: Path) -> None:
    (graph,) = PLAIN.graphs
    before, after = (TensorSpec(name, "state:s", (1, 2, 4, 4)) for name in ("before", "after"))
    recurrent = replace(graph, inputs=(*graph.inputs, before), outputs=(*graph.outputs, after))
    contract = replace(PLAIN, graphs=(recurrent,))
    with np.load(pairs) as whole:
        image = whole["image"]
    np.savez(tmp_path / "images.npz", image=image)
    assert gather(contract, tmp_path / "images.npz", {}, limit=64).separate
    np.savez(tmp_path / "more.npz", image=image, before=np.ones((16, 2, 4, 4), np.float32))
    with pytest.raises(BadInput, match="'before', which the model makes itself"):
        gather(contract, tmp_path / "more.npz", {}, limit=64)


def test_a_model_that_animates_stills_takes_no_npz(pairs: Path) -> None:
    with pytest.raises(UsageError, match=r"'moving' animates stills.*Give a clip"):
        gather(MOVING, pairs, {}, limit=64)
