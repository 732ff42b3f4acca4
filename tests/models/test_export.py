"""Export: a model folder whose graphs compute what the networks do; evaluation on top of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgeanim.core.contract import load_contract
from edgeanim.core.errors import GateFailed, UsageError
from edgeanim.graph.pytorch.from_torch import TOLERANCE
from edgeanim.models.animator import Animator, contract_of
from edgeanim.models.export import export_animator
from edgeanim.models.nets.regions import RegionNet
from edgeanim.models.shipped_files import shipped, shipped_names
from tests.models.tiny_training import TINY

pytestmark = pytest.mark.usefixtures("operators_read_once")


def test_the_folder_holds_the_contract_and_plain_convolutions(small_animator, exported_animator):
    folder = exported_animator
    contract = load_contract(folder)
    assert contract == contract_of(small_animator.config)
    for graph in contract.graphs:
        model = onnx.load(str(folder / graph.file))
        kinds = {node.op_type for node in model.graph.node}
        assert "Conv" in kinds
        assert not kinds & {"BatchNormalization", "GridSample", "ConvTranspose", "Softplus"}
        groups = [
            next((a.i for a in node.attribute if a.name == "group"), 1)
            for node in model.graph.node
            if node.op_type == "Conv"
        ]
        assert set(groups) == {1}


@pytest.mark.parametrize("name", ["regions", "encode", "animate"])
def test_each_graph_computes_what_its_network_does(small_animator, exported_animator, name):
    spec = load_contract(exported_animator).graph(name)
    session = onnxruntime.InferenceSession(
        str(exported_animator / spec.file), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(5)
    feeds = {t.name: rng.uniform(0, 1, t.shape).astype(np.float32) for t in spec.inputs}
    with torch.no_grad():
        expected = small_animator.graphs()[name](*(torch.from_numpy(v) for v in feeds.values()))
    found = session.run([t.name for t in spec.outputs], feeds)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one.numpy(), atol=TOLERANCE)


def test_a_network_that_exports_differently_is_not_written(tmp_path):
    class Drifting(RegionNet):
        """Computes something else while it is traced than when it runs."""

        def forward(self, frame, cue):
            mask, motion = super().forward(frame, cue)
            return mask, motion + (0.0 if torch.compiler.is_compiling() else 0.01)

    drifting = Animator(TINY).eval()
    drifting.regions = Drifting(TINY).eval()
    with pytest.raises(GateFailed, match="motion"):
        export_animator(tmp_path / "model", drifting)
    assert not (tmp_path / "model").exists()


def test_a_shipped_file_is_found_by_name_and_a_wrong_name_gets_a_hint():
    with shipped("animator.toml") as path:
        assert path.is_file()
    assert "animator.safetensors" in shipped_names()
    with pytest.raises(UsageError, match=r"animator\.toml"), shipped("animator.tom"):
        pass


def test_another_architecture_gives_another_contract():
    wide = contract_of(replace(TINY, size=128))
    assert wide.graph("animate").output("flow").shape == (1, 2, 32, 32)
