"""Reductions of which OpenVINO overlooks the axes: it computes what ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.reference import Reference, deviation, inputs_for
from edgeanim.graph.rewrites import reductions
from tests.graph.applied import applied, by_openvino

OPS = ["ReduceL1", "ReduceLogSum", "ReduceLogSumExp"]


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(
    ("how", "shape"), [("axes=[1]", "1,1,4,5"), ("axes=[-1,2], keepdims=0", "1,3")]
)
@pytest.mark.parametrize("op", OPS)
def test_openvino_reduces_the_axes_that_are_named(
    graph: Any, op: str, how: str, shape: str, opset: int
) -> None:
    body = f"a = Abs (x) \n y = {op} <{how}> (a)"
    model = graph("float[1,3,4,5] x", f"float[{shape}] y", body, opset=opset)
    count, copy, ops = applied(reductions, model)
    assert (count, ops[op]) == (1, 0)
    wanted = Reference(model).run(inputs_for(model))["y"]
    assert deviation(wanted, by_openvino(copy)) < 1e-5


@pytest.mark.parametrize("op", OPS)
def test_those_of_which_it_reads_the_axes_stay(graph: Any, op: str) -> None:
    body = f"a = Abs (x) \n y = {op} (a, axis)"
    model = graph("float[1,3,4,5] x", "float[1,1,4,5] y", body, {"axis": np.array([1])})
    assert applied(reductions, model)[0] == 0
    wanted = Reference(model).run(inputs_for(model))["y"]
    assert deviation(wanted, by_openvino(model)) < 1e-5
