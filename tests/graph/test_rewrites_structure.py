"""The rewrites that make a graph faster: ONNX Runtime computes the same before and after."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import (
    depth_to_space,
    flat_norm,
    identity,
    instance_norm,
    norm_scale,
)
from tests.graph.applied import applied

PICTURE = "float[1,3,12,16] x"


@pytest.mark.parametrize("shape", ["1,3,1,1", "3,1,1"])
def test_a_computed_scale_and_shift_join_their_norm(
    graph: Any, difference: Any, shape: str
) -> None:
    model = graph(
        f"float[1,3,12,16] x, float[{shape}] gamma, float[{shape}] beta",
        "float[1,3,12,16] y",
        """n = InstanceNormalization (x, ones, zeros)
           m = Mul (gamma, n)
           s = Add (m, beta)
           y = Relu (s)""",
        {"ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32)},
    )
    count, copy, ops = applied(norm_scale, model)
    assert count == 2
    assert (ops["Mul"], ops["Add"]) == (0, 0)
    assert difference(model, copy) <= 1e-5


def test_a_scale_by_pixel_or_on_a_used_norm_stays(graph: Any) -> None:
    model = graph(
        "float[1,3,12,16] x, float[1,1,12,16] mask, float[1,3,1,1] gamma",
        "float[1,3,12,16] y, float[1,3,12,16] z",
        """n = InstanceNormalization (x, ones, zeros)
           y = Mul (n, mask)
           o = InstanceNormalization (x, ones, zeros)
           g = Mul (o, gamma)
           z = Add (g, o)""",
        {"ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32)},
    )
    assert applied(norm_scale, model)[0] == 0


@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_a_norm_of_one_pixel_is_not_scaled_by_itself(graph: Any, op: str) -> None:
    model = graph(
        "float[1,3,1,1] x",
        "float[1,3,1,1] y",
        f"n = InstanceNormalization (x, ones, zeros) \n y = {op} (n, n)",
        {"ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32)},
    )
    assert applied(norm_scale, model)[0] == 0


def test_a_norm_is_flattened_and_restored(graph: Any, difference: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        "n = InstanceNormalization <epsilon=0.01> (x, s, b) \n y = Relu (n)",
        {"s": (3,), "b": (3,)},
    )
    count, flat, ops = applied(flat_norm, model)
    assert (count, ops["Reshape"]) == (1, 2)
    assert difference(model, flat) <= 1e-6
    count, restored, ops = applied(instance_norm, flat)
    assert (count, ops["Reshape"]) == (1, 0)
    assert difference(model, restored) <= 1e-6


def test_a_norm_of_other_groups_stays_flat(graph: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        """f = Reshape (x, halves)
           n = InstanceNormalization (f, s, b)
           y = Reshape (n, full)""",
        {"s": (6,), "b": (6,), "halves": np.array([1, 6, 96]), "full": np.array([1, 3, 12, 16])},
    )
    assert applied(instance_norm, model)[0] == 0


def test_a_resize_to_its_own_size_vanishes(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,12,16] x",
        "float[1,3,12,16] y",
        'r = Resize <mode="nearest"> (x, none, scales) \n y = Relu (r)',
        {"none": np.zeros(0, np.float32), "scales": np.ones(4, np.float32)},
    )
    count, copy, ops = applied(identity, model)
    assert (count, ops) == (1, {"Relu": 1})
    assert difference(model, copy) == 0


def residual_gan(graph: Any) -> Any:
    """A generator in small: upsampled, transposed and narrow convolutions, norms, reflection."""
    return graph(
        "float[1,3,16,20] x",
        "float[1,3,64,80] y",
        """p1 = Pad <mode="reflect"> (x, three)
           c1 = Conv (p1, w1, b1)
           n1 = InstanceNormalization (c1, s, t)
           r1 = Relu (n1)
           up = Resize <mode="nearest"> (r1, none, twice)
           p2 = Pad <mode="reflect"> (up, one)
           c2 = Conv (p2, w2)
           r2 = Relu (c2)
           t3 = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (r2, w3)
           r3 = Relu (t3)
           p4 = Pad <mode="reflect"> (r3, three)
           c4 = Conv (p4, w4, b4)
           y = Tanh (c4)""",
        {
            **dict.fromkeys(("b1", "s", "t"), (8,)),
            "w1": (8, 3, 7, 7),
            "w2": (8, 8, 3, 3),
            "w3": (8, 8, 3, 3),
            "w4": (3, 8, 7, 7),
            "b4": (3,),
            "three": np.array([0, 0, 3, 3, 0, 0, 3, 3]),
            "one": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            "none": np.zeros(0, np.float32),
            "twice": np.array([1, 1, 2, 2], np.float32),
        },
    )


def test_a_generator_is_restructured_as_a_whole(graph: Any, difference: Any, save: Any) -> None:
    model = residual_gan(graph)
    before = model.SerializeToString()
    made = restructure(model).model
    assert model.SerializeToString() == before
    ops = Counter(node.op_type for node in made.graph.node)
    assert (ops["Resize"], ops["ConvTranspose"], ops["DepthToSpace"]) == (0, 0, 3)
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert set(names) <= {node.name for node in made.graph.node}, "convolutions keep their names"
    assert difference(model, made) <= 1e-5
    assert not restructure(made), "once is enough"
    import_torch(save(made))  # passes the gate


def test_the_style_net_keeps_its_numbers(
    style_model: Path, style_feeds: Any, difference: Any
) -> None:
    model = read_onnx(style_model)
    made = restructure(model).model
    ops = Counter(node.op_type for node in made.graph.node)
    assert (ops["Resize"], ops["DepthToSpace"], ops["SpaceToDepth"]) == (0, 3, 1)
    assert ops["Mul"] == 0
    assert difference(model, made, style_feeds) <= 2e-5


@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space_is_two_transpositions(graph: Any, difference: Any, block: int) -> None:
    model = graph(
        f"float[1,{2 * block**2},5,4] x",
        f"float[1,2,{5 * block},{4 * block}] y",
        f"y = DepthToSpace <blocksize={block}> (x)",
    )
    count, copy, ops = applied(depth_to_space, model)
    assert (count, ops) == (1, {"Reshape": 3, "Transpose": 2})
    assert difference(model, copy) == 0


def test_a_shuffle_with_channels_first_stays(graph: Any) -> None:
    body = 'y = DepthToSpace <blocksize=2, mode="CRD"> (x)'
    assert applied(depth_to_space, graph("float[1,8,5,4] x", "float[1,2,10,8] y", body))[0] == 0


@pytest.mark.parametrize("twice", [False, True])
def test_kernels_that_the_file_computes_are_stored(
    graph: Any, difference: Any, twice: bool
) -> None:
    """As weights are that an exporter writes as `Constant`, or normalises without folding."""
    kernel = np.random.default_rng(1).normal(0, 0.3, (3, 3, 1, 1)).astype(np.float32)
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        "w = Mul (k, two) y = Conv (x, w)" if twice else "y = Conv (x, k)",
        {"k": kernel, "two": np.array(2, np.float32)} if twice else {"k": kernel},
    )
    assert bool(restructure(model)) == twice
    if not twice:
        (tensor,) = model.graph.initializer
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["k"], value=tensor))
        del model.graph.initializer[:]
    made = restructure(model)
    assert made
    (conv,) = made.model.graph.node
    assert conv.input[1] in {tensor.name for tensor in made.model.graph.initializer}
    assert difference(model, made.model) <= 1e-6
    assert not restructure(made.model)


@pytest.mark.parametrize(("opset", "raised"), [(11, True), (12, True), (13, False), (17, False)])
def test_an_opset_that_has_no_scales_by_channel_is_raised(
    graph: Any, difference: Any, opset: int, raised: bool
) -> None:
    kernel = np.random.default_rng(1).normal(0, 0.3, (3, 3, 1, 1)).astype(np.float32)
    model = graph(PICTURE, "float[1,3,12,16] y", "r = Relu (x) y = Conv (r, k)", {"k": kernel})
    model.opset_import[0].version = opset
    made = restructure(model)
    assert bool(made) == raised
    assert difference(model, made.model) <= 1e-6
    assert not restructure(made.model)
