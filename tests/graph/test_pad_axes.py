"""Pads of some axes, said of all: the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.normalize import normalize
from edgeanim.graph.rewrites import pad_axes
from tests.graph.applied import applied


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [3, 2]])
@pytest.mark.parametrize("value", ["", "half"])
def test_a_pad_of_some_axes_is_one_of_all(
    graph: Any, difference: Any, mode: str, axes: list[int], value: str
) -> None:
    pads = {2: (1, 0), 3: (2, 3)}
    begins, ends = zip(*(pads[axis % 4] for axis in axes), strict=True)
    model = graph(
        "float[1,3,6,5] x",
        "float[1,3,7,10] y",
        f'y = Pad <mode="{mode}"> (x, edges, {value or " "}, axes)',
        {"edges": np.array([*begins, *ends]), "axes": np.array(axes)}
        | ({"half": np.array(0.5, np.float32)} if value else {}),
    )
    count, copy, _ = applied(pad_axes, model)
    assert count == 1
    assert copy.graph.node[0].input[3:] == []
    assert difference(model, copy) == 0


def test_a_pad_by_zeros_of_some_axes_joins_its_convolution(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,6,5] x",
        "float[1,4,6,5] y",
        "p = Pad (x, edges, , axes) \n y = Conv (p, w)",
        {"edges": np.ones(4, np.int64), "axes": np.array([2, 3]), "w": (4, 3, 3, 3)},
    )
    clean = normalize(model)
    assert [node.op_type for node in clean.graph.node] == ["Conv"]
    assert difference(model, clean) <= 1e-6
