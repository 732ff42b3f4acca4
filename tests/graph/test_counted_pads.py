"""Means over windows whose pads count, as convolutions: the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.rewrites import counted_pads
from tests.graph.applied import applied


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ("6,5", "kernel_shape=[3,3], pads=[1,1,1,1]"),
        ("4,3", "kernel_shape=[3,2], pads=[1,0,2,1], strides=[2,2]"),
    ],
)
def test_a_mean_that_counts_its_pads_is_a_convolution(
    graph: Any, difference: Any, size: str, settings: str
) -> None:
    model = graph(
        "float[2,3,6,5] x",
        f"float[2,3,{size}] y",
        f"y = AveragePool <count_include_pad=1, {settings}> (x)",
    )
    count, copy, ops = applied(counted_pads, model)
    assert (count, ops["Conv"], ops["AveragePool"]) == (1, 1, 0)
    assert copy.graph.node[0].name == model.graph.node[0].name
    assert difference(model, copy) <= 1e-6


def test_so_is_one_behind_a_pad_by_zeros(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,6,5] x",
        "float[1,3,6,5] y",
        "p = Pad (x, edges) \n y = AveragePool <kernel_shape=[3,3]> (p)",
        {"edges": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    )
    count, copy, ops = applied(counted_pads, model)
    assert (count, ops["Conv"], ops["AveragePool"]) == (1, 1, 0)
    assert difference(model, copy) <= 1e-6


@pytest.mark.parametrize(
    "settings", ["pads=[1,1,1,1]", "count_include_pad=1", "count_include_pad=1, ceil_mode=1"]
)
def test_others_stay(graph: Any, settings: str) -> None:
    model = graph(
        "float[1,3,6,6] x",
        "float[1,3,N,M] y",
        f"y = AveragePool <kernel_shape=[2,2], {settings}> (x)",
    )
    assert applied(counted_pads, model)[0] == 0
