"""Batch norms without running statistics, as PyTorch's exporters write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeanim.core.quiet import quiet
from edgeanim.graph.normalize import normalize
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.reference import Reference, deviation, inputs_for
from edgeanim.graph.rewrites import own_statistics
from tests.graph.applied import applied, by_openvino


class Normed(nn.Module):
    """A norm that keeps no statistics, and one that a function computes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        return F.batch_norm(y, None, None, training=True)


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_what_pytorch_exports_is_an_instance_norm(dynamo: bool, tmp_path: Path) -> None:
    net, path = Normed().eval(), tmp_path / "net.onnx"
    nn.init.normal_(net.norm.weight)
    x = torch.rand(1, 3, 12, 10)
    with quiet():
        torch.onnx.export(net, (x,), str(path), input_names=["x"], dynamo=dynamo)
    model = read_onnx(path)
    ops = [node.op_type for node in normalize(model).graph.node]
    assert ops == ["Conv", "InstanceNormalization", "Relu", "InstanceNormalization"]
    assert import_torch(path).error < 1e-5
    inputs = inputs_for(model)
    (wanted,) = Reference(model).run(inputs).values()
    with torch.no_grad():
        assert deviation(net(torch.from_numpy(inputs["x"])).numpy(), wanted) < 1e-5
    assert deviation(wanted, by_openvino(model)) < 1e-5


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("own", [True, False])
def test_other_statistics_stay(graph: Any, difference: Any, own: bool, count: int) -> None:
    """Those of another value, and those of several pictures together."""
    model = graph(
        f"float[{count},3,6,5] x",
        f"float[{count},3,6,5] y",
        f"""m = ReduceMean <keepdims=0> (x, axes)
            n = ReduceMean (x, axes)
            d = Sub (x, n)
            s = Mul (d, d)
            v = ReduceMean <keepdims=0> (s, axes)
            t = Tanh (x)
            y = BatchNormalization ({"x" if own else "t"}, scale, bias, m, v)""",
        {"axes": np.array([0, 2, 3]), "scale": (3,), "bias": (3,)},
    )
    changed, copy, ops = applied(own_statistics, model)
    assert changed == ops["InstanceNormalization"] == (own and count == 1)
    assert difference(model, copy) < 1e-5


def test_ops_that_read_nothing_are_passed_over(graph: Any) -> None:
    """The search for norms ended with an IndexError at one."""
    body = """e = SequenceEmpty <dtype = 1> ()
              s = SequenceInsert (e, x)
              y = ConcatFromSequence <axis = 1> (s)"""
    count, _, ops = applied(own_statistics, graph("float[1,3,8,8] x", "float[1,3,8,8] y", body))
    assert (count, ops["SequenceEmpty"]) == (0, 1)
