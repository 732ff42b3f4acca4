"""Means over windows that end behind their pads: every runtime divides by the same."""

from __future__ import annotations

from typing import Any

import pytest

from edgeanim.graph.reference import Reference, deviation, inputs_for
from edgeanim.graph.rewrites import ceil_means
from tests.graph.applied import applied, by_openvino

RESTS = [
    ("4,3", "kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]", 1),
    ("3,2", "kernel_shape=[4,4], pads=[0,0,1,1], strides=[2,2]", 1),
    ("3,3", "kernel_shape=[3,2], strides=[2,2]", 0),
]


@pytest.mark.parametrize(("size", "settings", "pads"), RESTS)
def test_what_is_behind_the_pads_does_not_count(
    graph: Any, difference: Any, size: str, settings: str, pads: int
) -> None:
    model = graph(
        "float[1,3,6,5] x",
        f"float[1,3,{size}] y",
        f"r = Relu (x) \n y = AveragePool <ceil_mode=1, count_include_pad=1, {settings}> (r)",
        opset=19,
    )
    count, copy, ops = applied(ceil_means, model)
    assert (count, ops["Pad"], ops["AveragePool"]) == (1, pads, 1)
    assert copy.graph.node[-1].name == model.graph.node[-1].name
    assert difference(model, copy) <= 1e-6
    assert deviation(Reference(model).run(inputs_for(model))["y"], by_openvino(copy)) <= 1e-6


@pytest.mark.parametrize(
    "settings",
    [
        "ceil_mode=1, kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]",
        "count_include_pad=1, kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]",
        "ceil_mode=1, count_include_pad=1, kernel_shape=[2,1], strides=[2,2]",
    ],
)
def test_those_that_runtimes_agree_on_stay(graph: Any, settings: str) -> None:
    model = graph("float[1,3,6,5] x", "float[1,3,N,M] y", f"y = AveragePool <{settings}> (x)")
    assert applied(ceil_means, model)[0] == 0
