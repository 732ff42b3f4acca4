"""Resizes that OpenVINO takes for others, as products: it computes what ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.reference import Reference, deviation, inputs_for
from edgeanim.graph.rewrites import resize_by_weights
from tests.graph.applied import applied, by_openvino


@pytest.mark.parametrize(
    "how",
    [
        'mode = "linear", antialias = 1',
        'mode = "cubic", antialias = 1',
        'mode = "linear", antialias = 1, coordinate_transformation_mode = "align_corners"',
        'mode = "cubic", exclude_outside = 1, cubic_coeff_a = -0.5',
        'mode = "nearest", coordinate_transformation_mode = "half_pixel_symmetric"',
        'mode = "linear", coordinate_transformation_mode = "half_pixel_symmetric"',
    ],
)
@pytest.mark.parametrize("inputs", [", factors", ", , sizes"])
def test_openvino_resizes_as_onnx_runtime_does(graph: Any, how: str, inputs: str) -> None:
    model = graph(
        "float[1,3,12,9] x",
        "float[1,3,7,4] y",
        f"a = Relu (x) \n y = Resize <{how}> (a, {inputs})",
        {"factors": np.array([1, 1, 0.6, 0.5], np.float32), "sizes": np.array([1, 3, 7, 4])},
        opset=19,
    )
    wanted = Reference(model).run(inputs_for(model))["y"]
    count, copy, ops = applied(resize_by_weights, model)
    assert (count, ops["Resize"], ops["MatMul"]) == (1, 0, 2)
    assert deviation(wanted, by_openvino(copy)) < 1e-6


def test_an_axis_that_stays_needs_no_product(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,12,9] x",
        "float[1,3,6,9] y",
        'y = Resize <mode = "linear", antialias = 1> (x, , factors)',
        {"factors": np.array([1, 1, 0.5, 1], np.float32)},
    )
    _, copy, ops = applied(resize_by_weights, model)
    assert ops == {"MatMul": 1}
    assert difference(model, copy) < 1e-6


@pytest.mark.parametrize("how", ["", ', coordinate_transformation_mode = "align_corners"'])
def test_a_cubic_one_is_two_products(graph: Any, difference: Any, how: str) -> None:
    model = graph(
        "float[1,3,12,9] x",
        "float[1,3,24,13] y",
        f'y = Resize <mode = "cubic"{how}> (x, , factors)',
        {"factors": np.array([1, 1, 2, 1.5], np.float32)},
    )
    _, copy, ops = applied(resize_by_weights, model)
    assert ops == {"MatMul": 2}
    assert difference(model, copy) < 1e-6


@pytest.mark.parametrize("how", ['mode = "linear"', 'mode = "nearest"'])
def test_those_that_openvino_knows_stay(graph: Any, how: str) -> None:
    model = graph(
        "float[1,3,12,9] x",
        "float[1,3,6,3] y",
        f"y = Resize <{how}> (x, , factors)",
        {"factors": np.array([1, 1, 0.5, 1 / 3], np.float32)},
    )
    assert applied(resize_by_weights, model)[0] == 0
