"""Pads that wrap around, as slices: the same numbers, and OpenVINO runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import pytest

from edgeanim.graph.rewrites import wrap_pad
from tests.graph.applied import applied, executed_by_openvino


@pytest.mark.parametrize("stored", [True, False])
def test_a_pad_that_wraps_around_is_slices(graph: Any, difference: Any, stored: bool) -> None:
    pads = [0, 0, 2, 0, 0, 1, 3, 5]
    said = "" if stored else f"edges = Constant <value_ints = {pads}> ()"
    model = graph(
        "float[1,3,6,5] x",
        "float[1,4,11,10] y",
        f'{said} \n y = Pad <mode="wrap"> (x, edges)',
        {"edges": np.array(pads)} if stored else {},
        opset=19,
    )
    with pytest.raises(RuntimeError, match="wrap"):
        openvino.Core().read_model(model.SerializeToString())
    count, copy, ops = applied(wrap_pad, model)
    assert (count, ops["Pad"]) == (1, 0)
    assert difference(model, copy) == 0
    assert executed_by_openvino(copy)


@pytest.mark.parametrize("pads", [[0, 0, 7, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, -1, 0]])
def test_one_that_goes_round_more_than_once_or_crops_stays(graph: Any, pads: list[int]) -> None:
    rows = 6 + pads[2] + pads[6]
    model = graph(
        "float[1,3,6,5] x",
        f"float[1,3,{rows},5] y",
        'y = Pad <mode="wrap"> (x, edges)',
        {"edges": np.array(pads)},
        opset=19,
    )
    assert applied(wrap_pad, model)[0] == 0
