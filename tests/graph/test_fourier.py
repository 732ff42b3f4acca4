"""Fourier transforms as products: the same numbers, in OpenVINO along the same axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.reference import Reference, inputs_for
from edgeanim.graph.rewrites import fourier
from edgeanim.targets.lowering import lower_for_openvino
from tests.graph.applied import applied, by_openvino


def transformed(
    graph: Any, axis: int, opset: int, parts: int = 2, length: int | None = None, **how: int
) -> Any:
    """A transform of [2, 3, 4, 6, parts] along an axis, which may be counted from the end."""
    sizes = [2, 3, 4, 6]
    made = length or sizes[axis if axis >= 0 else axis + 5]
    sizes[axis if axis >= 0 else axis + 5] = made // 2 + 1 if how.get("onesided") else made
    how = {"inverse": 0, "axis": axis} | how
    inputs = f"x, {'length' if length else ''}"
    if opset >= 20:
        del how["axis"]
        inputs += ", axis"
    given = ", ".join(f"{key} = {value}" for key, value in how.items())
    return graph(
        f"float[2,3,4,6,{parts}] x",
        f"float[{','.join(map(str, sizes))},2] y",
        f"y = DFT <{given}> ({inputs})",
        {"length": np.array(length or 0, np.int64), "axis": np.array(axis, np.int64)},
        opset=opset,
    )


def back_from_one_side(graph: Any, opset: int, length: int | None) -> Any:
    """An inverse transform of [2, 3, 4, 4, 2], one side of a spectrum along axis 3."""
    axis = "axis" if opset >= 20 else ""
    how = "inverse = 1, onesided = 1" + ("" if axis else ", axis = 3")
    return graph(
        "float[2,3,4,4,2] x",
        f"float[2,3,4,{length or 6},1] y",
        f"y = DFT <{how}> (x, {'length' if length else ''}, {axis})".replace(", )", ")"),
        {"length": np.array(length or 0, np.int64), "axis": np.array(3, np.int64)},
        opset=opset,
    )


@settings(max_examples=40)
@given(
    axis=st.sampled_from([0, 1, 2, 3, -2, -3, -5]),
    opset=st.sampled_from([17, 20]),
    parts=st.integers(1, 2),
    length=st.sampled_from([None, 3, 7]),
    how=st.sampled_from([{}, {"inverse": 1}, {"onesided": 1}]),
)
def test_products_give_the_same(
    graph: Any,
    difference: Any,
    axis: int,
    opset: int,
    parts: int,
    length: int | None,
    how: dict[str, int],
) -> None:
    parts = 1 if "onesided" in how else parts
    model = transformed(graph, axis, opset, parts, length, **how)
    count, copy, ops = applied(fourier, model)
    assert (count, ops["DFT"]) == (1, 0)
    assert difference(model, copy) < 1e-5


@pytest.mark.parametrize("length", [None, 6, 7])
@pytest.mark.parametrize("opset", [17, 20])
def test_one_side_becomes_real_numbers(
    graph: Any, difference: Any, opset: int, length: int | None
) -> None:
    """As torch.fft.irfft2 ends, in nets of Fourier convolutions."""
    model = back_from_one_side(graph, opset, length)
    count, copy, ops = applied(fourier, model)
    assert (count, ops["DFT"]) == (1, 0)
    assert difference(model, copy) < 1e-5


@pytest.mark.parametrize("length", [5, 9])
def test_one_side_of_another_length_stays(graph: Any, length: int) -> None:
    """ONNX Runtime neither cuts it off nor fills it up with zeros."""
    assert applied(fourier, back_from_one_side(graph, 20, length))[0] == 0


def test_openvino_makes_real_numbers_of_one_side(graph: Any) -> None:
    model = back_from_one_side(graph, 18, 6)
    (wanted,) = Reference(model).run(inputs_for(model)).values()
    lower_for_openvino(model)
    np.testing.assert_allclose(by_openvino(model), wanted, atol=1e-5)


def test_one_whose_axis_is_an_input_stays(graph: Any) -> None:
    inputs = "float[2,3,4,6,2] x, int64 axis"
    model = graph(inputs, "float[2,3,4,6,2] y", "y = DFT (x, , axis)", opset=20)
    assert applied(fourier, model)[0] == 0


@pytest.mark.parametrize(("axis", "opset"), [(3, 20), (-2, 20), (-2, 17), (2, 17)])
@pytest.mark.parametrize("sides", [1, 2])
def test_openvino_transforms_along_the_axis_that_is_asked_for(
    graph: Any, axis: int, opset: int, sides: int
) -> None:
    model = transformed(graph, axis, opset, sides, onesided=2 - sides)
    (wanted,) = Reference(model).run(inputs_for(model)).values()
    lower_for_openvino(model)
    np.testing.assert_allclose(by_openvino(model), wanted, atol=1e-5)
