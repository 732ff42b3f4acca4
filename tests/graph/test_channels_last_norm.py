"""Norms over groups and over channels in the form that leaves a map where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import channels_last_norm
from tests.graph.applied import applied

LAYER_NORM = """
    c = Conv <pads = [1, 1, 1, 1]> (x, kernel)
    t = Transpose <perm = [0, 2, 3, 1]> (c)
    n = LayerNormalization <axis = AXIS> (t, scale, shift)
    y = Transpose <perm = [0, 3, 1, 2]> (n)
"""


def normed(graph: Any, body: str, shape: tuple[int, ...], weights: Any, opset: int = 18) -> Any:
    said = ",".join(map(str, shape))
    return graph(f"float[{said}] x", f"float[{said}] y", body, weights, opset=opset)


def grouped(graph: Any, shape: tuple[int, int, int, int], groups: int, plain: bool = False) -> Any:
    """As PyTorch's exporter writes a group norm."""
    count, channels, height, width = shape
    scale = (np.ones if plain else np.zeros)(groups, np.float32)
    rows = np.array([count, groups, channels // groups * height * width])
    body = """f = Reshape (x, rows)
        n = InstanceNormalization <epsilon = 0.01> (f, scale, shift)
        r = Reshape (n, full)
        y = Neg (r)"""
    weights: dict[str, Any] = {"rows": rows, "full": np.array(shape)}
    weights |= {"scale": scale, "shift": 0 * scale} if plain else {"scale": (groups,)}
    return normed(graph, body, shape, {"shift": (groups,)} | weights)


@settings(max_examples=15)
@given(
    count=st.integers(1, 2),
    groups=st.integers(1, 3),
    each=st.integers(2, 4),
    size=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    plain=st.booleans(),
)
def test_a_group_norm_gives_the_same(
    graph: Any,
    difference: Any,
    count: int,
    groups: int,
    each: int,
    size: tuple[int, int],
    plain: bool,
) -> None:
    model = grouped(graph, (count, groups * each, *size), groups, plain)
    changed, copy, ops = applied(channels_last_norm, model)
    assert (changed, ops["InstanceNormalization"]) == (1, 0)
    assert ops["Mul"] == (1 if plain else 2)  # a scale of one is none
    assert difference(model, copy) < 1e-5


def test_so_does_the_op_of_its_own(graph: Any, difference: Any) -> None:
    body = "g = GroupNormalization <num_groups = 2> (x, scale, shift) \n y = Neg (g)"
    model = normed(graph, body, (1, 6, 5, 4), {"scale": (6,), "shift": (6,)}, opset=21)
    changed, copy, ops = applied(channels_last_norm, model)
    assert (changed, ops["GroupNormalization"]) == (1, 0)
    assert difference(model, copy) < 1e-5


@pytest.mark.parametrize("axis", ["-1", "3"])
@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("shifted", [False, True])
def test_a_layer_norm_over_channels_gives_the_same(
    graph: Any, difference: Any, axis: str, opset: int, shifted: bool
) -> None:
    weights = {"kernel": (8, 8, 3, 3), "scale": (8,), "shift": (8,)}
    body = LAYER_NORM.replace("AXIS", axis)
    body = body if shifted else body.replace(", shift)", ")")
    model = normed(graph, body, (2, 8, 6, 5), weights, opset)
    changed, copy, ops = applied(channels_last_norm, model)
    assert (changed, ops["LayerNormalization"]) == (1, 0)
    assert difference(model, copy) < 1e-5


def test_what_follows_keeps_its_names(graph: Any) -> None:
    _, copy, _ = applied(channels_last_norm, grouped(graph, (1, 6, 4, 4), 2))
    assert [list(node.input) for node in copy.graph.node if node.op_type == "Neg"] == [["r"]]


def test_other_norms_stay(graph: Any) -> None:
    weights = {"kernel": (8, 8, 3, 3)}
    rows = LAYER_NORM.replace("AXIS", "2")
    shapes = {"scale": (5, 8), "shift": (5, 8)}
    over_rows = normed(graph, rows, (1, 8, 6, 5), weights | shapes)
    other = LAYER_NORM.replace("AXIS", "-1").replace("[0, 2, 3, 1]", "[0, 2, 1, 3]")
    over_columns = normed(
        graph, other.replace("[0, 3, 1, 2]", "[0, 2, 1, 3]"), (1, 8, 6, 5),
        weights | {"scale": (5,), "shift": (5,)},
    )  # fmt: skip
    channels = grouped(graph, (1, 6, 4, 4), 6)
    stacked = grouped(graph, (2, 8, 4, 4), 4)  # four groups of two pictures, two of each
    rows = next(tensor for tensor in stacked.graph.initializer if tensor.name == "rows")
    rows.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 4, 64]), "rows"))
    for model in (over_rows, over_columns, channels, stacked):
        assert applied(channels_last_norm, model)[0] == 0


def test_openvino_lays_nothing_out_anew(graph: Any) -> None:
    """A group norm between two convolutions costs no reorder of the map."""
    body = """c = Conv <pads = [1, 1, 1, 1]> (x, kernel)
        f = Reshape (c, rows)
        n = InstanceNormalization (f, scale, shift)
        r = Reshape (n, full)
        y = Conv <pads = [1, 1, 1, 1]> (r, kernel)"""
    shape = (1, 32, 32, 32)
    sizes = {"rows": np.array([1, 8, 4 * 32 * 32]), "full": np.array(shape)}
    weights = {"kernel": (32, 32, 3, 3), "scale": (8,), "shift": (8,)} | sizes
    model = normed(graph, body, shape, weights)
    assert _reorders(applied(channels_last_norm, model)[1]) < _reorders(model)


def _reorders(model: Any) -> int:
    """How often OpenVINO lays a whole map out anew."""
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
    size = np.prod([dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim])
    return sum(
        op.get_rt_info()["layerType"].astype(str) == "Reorder"
        and np.prod(op.get_output_shape(0)) == size
        for op in compiled.get_runtime_model().get_ops()
    )
