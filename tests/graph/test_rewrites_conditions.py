"""What looks like a rewrite's pattern and is another thing: it stays, or comes out the same.

Each graph fails one condition of its rewrite; without that condition the numbers would change.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim.graph.rewrites import (
    affine,
    depth_to_space,
    instance_norm,
    layout,
    norm_scale,
    packing,
    pads,
    transposed,
    upsampled,
)
from edgeanim.graph.shapes import infer_shapes
from tests.graph.applied import applied

ONES, ZEROS = np.ones(3, np.float32), np.zeros(3, np.float32)
SCALE = {"w": (3, 3, 1, 1), "scale": np.array([2.0, 3.0, 4.0], np.float32).reshape(3, 1, 1)}
TWICE = {"none": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 2], np.float32)}
NORM = {
    "axes": np.array([2, 3]),
    "two": np.array(2.0, np.float32),
    "eps": np.array(1e-3, np.float32),
    "half": np.array(0.5, np.float32),
    "four": np.array(4.0, np.float32),
}
PARTS = {
    "mean": "mean = ReduceMean <keepdims=1> (x, axes)",
    "centred": "centred = Sub (x, mean)",
    "squares": "squares = Pow (centred, two)",
    "variance": "variance = ReduceMean <keepdims=1> (squares, axes)",
    "shifted": "shifted = Add (variance, eps)",
    "deviation": "deviation = Pow (shifted, half)",
    "y": "y = Div (centred, deviation)",
}


def norm(**others: str) -> str:
    """An instance norm in single ops, some of them by `others`."""
    return "\n".join((PARTS | others).values())


UNTOUCHED: dict[str, tuple[ModuleType, str, str, str, dict[str, Any]]] = {
    "a number less the channel": (
        affine, "1,3,4,5", "1,3,4,5", "a = Conv (x, w) \n y = Sub (scale, a)", SCALE,
    ),
    "a number over the channel": (
        affine, "1,3,4,5", "1,3,4,5", "a = Conv (x, w) \n y = Div (scale, a)", SCALE,
    ),
    "a factor for each of as many columns": (
        affine, "1,3,4,3", "1,3,4,3", "a = Conv (x, w) \n y = Mul (a, columns)",
        {"w": (3, 3, 1, 1), "columns": (3,)},
    ),
    "a sum of channels of which axes are lost": (
        layout, "1,4,4,4", "1,4,4,4",
        """t = Transpose <perm=[0,2,3,1]> (x)
           s = ReduceSum <keepdims=0> (t, last)
           y = Add (t, s)""",
        {"last": np.array([1])},
    ),
    "a mean of another value": (
        instance_norm, "1,3,4,5", "1,3,4,5",
        "other = Neg (x) \n" + norm(mean="mean = ReduceMean <keepdims=1> (other, axes)"), NORM,
    ),
    "a fourth power": (
        instance_norm, "1,3,4,5", "1,3,4,5", norm(squares="squares = Pow (centred, four)"), NORM,
    ),
    "twice the square": (
        instance_norm, "1,3,4,5", "1,3,4,5",
        norm(squares="double = Add (centred, centred) \n squares = Mul (centred, double)"), NORM,
    ),
    "a mean that lost its axes and is taken off the columns": (
        instance_norm, "1,3,4,3", "1,3,4,3",
        norm(mean="mean = ReduceMean <keepdims=0> (x, axes)"), NORM,
    ),
    "a scale for another value": (
        instance_norm, "1,3,4,5", "1,3,4,5",
        norm(y="""s = Reciprocal (deviation)
                  other = Neg (x)
                  scaled = Mul (other, s)
                  moved = Mul (mean, s)
                  shift = Sub (eps, moved)
                  y = Add (scaled, shift)"""), NORM,
    ),
    "the variance itself for the deviation": (
        instance_norm, "1,3,4,5", "1,3,4,5",
        norm(deviation="deviation = Pow (shifted, two)"), NORM,
    ),
    "another numerator": (
        instance_norm, "1,3,4,5", "1,3,4,5",
        norm(y="other = Sub (mean, x) \n y = Div (other, deviation)"), NORM,
    ),
    "a scale of what was shifted before": (
        norm_scale, "1,3,4,5", "1,3,4,5",
        """n = InstanceNormalization (x, ones, shift)
           s = GlobalAveragePool (x)
           y = Mul (n, s)""",
        {"ones": ONES, "shift": ONES},
    ),
    "a scale of what was scaled before": (
        norm_scale, "1,3,4,5", "1,3,4,5",
        """n = InstanceNormalization (x, twos, zeros)
           s = GlobalAveragePool (x)
           y = Mul (n, s)""",
        {"twos": 2 * ONES, "zeros": ZEROS},
    ),
    "a pad that cuts off": (
        pads, "1,3,6,6", "1,4,3,4", "p = Pad (x, edges) \n y = Conv (p, w)",
        {"edges": np.array([0, 0, -1, 0, 0, 0, 0, 0]), "w": (4, 3, 3, 3)},
    ),
    "a pad of channels": (
        pads, "1,2,6,6", "1,4,4,4", "p = Pad (x, edges) \n y = Conv (p, w)",
        {"edges": np.array([0, 1, 0, 0, 0, 0, 0, 0]), "w": (4, 3, 3, 3)},
    ),
    "a pad of axes in another order": (
        pads, "1,3,6,6", "1,4,4,6", "p = Pad (x, edges, , axes) \n y = Conv (p, w)",
        {"edges": np.array([0, 0, 1, 0, 0, 0, 1, 0]), "axes": np.array([0, 1, 3, 2]),
         "w": (4, 3, 3, 3)},
    ),
    "transposed in groups of many channels": (
        transposed, "1,24,5,5", "1,12,10,10",
        "y = ConvTranspose <strides=[2,2], group=2> (x, w)", {"w": (24, 6, 2, 2)},
    ),
    "transposed and dilated": (
        transposed, "1,3,5,5", "1,4,13,13",
        "y = ConvTranspose <strides=[2,2], dilations=[2,2]> (x, w)", {"w": (3, 4, 3, 3)},
    ),
    "several pictures of blocks": (
        depth_to_space, "2,8,3,4", "2,2,6,8", "y = DepthToSpace <blocksize=2> (x)", {},
    ),
    "a grey border of what was upsampled": (
        upsampled, "1,3,6,8", "1,4,12,16",
        """up = Resize <mode="nearest"> (x, none, scales)
           p = Pad (up, edges, half)
           y = Conv (p, w)""",
        {**TWICE, "w": (4, 3, 3, 3), "edges": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
         "half": np.array(0.5, np.float32)},
    ),
    "a norm in float64": (
        instance_norm, "1,3,4,5", "1,3,4,5",
        norm(mean="wide = Cast <to=11> (x) \n mean = ReduceMean <keepdims=1> (wide, axes)",
             centred="centred = Sub (wide, mean)",
             y="z = Div (centred, deviation) \n y = Cast <to=1> (z)"),
        NORM | {name: NORM[name].astype(np.float64) for name in ("two", "eps", "half")},
    ),
    "a grey border and the convolution's own": (
        upsampled, "1,3,6,8", "1,4,14,18",
        """up = Resize <mode="nearest"> (x, none, scales)
           p = Pad <mode="edge"> (up, edges)
           y = Conv <pads=[1,1,1,1]> (p, w)""",
        {**TWICE, "w": (4, 3, 3, 3), "edges": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNTOUCHED)
def test_what_is_another_thing_is_left_alone(graph: Any, difference: Any, what: str) -> None:
    module, before, after, body, weights = UNTOUCHED[what]
    model = graph(f"float[{before}] x", f"float[{after}] y", body, weights)
    count, copy, _ = applied(module, model)
    assert difference(model, copy) <= 1e-5
    assert count == 0


def test_a_norm_for_each_of_several_pictures_takes_no_scale_of_one(graph: Any) -> None:
    model = graph(
        "float[2,3,4,5] x, float[3,1,1] s",
        "float[2,3,4,5] y",
        "n = InstanceNormalization (x, ones, zeros) \n y = Mul (n, s)",
        {"ones": ONES, "zeros": ZEROS},
    )
    assert applied(norm_scale, model)[0] == 0


def test_a_transposed_convolution_in_groups_is_scaled_by_its_own_channels(
    graph: Any, difference: Any
) -> None:
    model = graph(
        "float[1,4,5,5] x",
        "float[1,6,10,10] y",
        "a = ConvTranspose <strides=[2,2], group=2> (x, w) \n y = Mul (a, scale)",
        {"w": (4, 3, 2, 2), "scale": (6, 1, 1)},
    )
    count, copy, _ = applied(affine, model)
    assert count == 1
    assert difference(model, copy) <= 1e-5


@pytest.mark.parametrize(
    "body",
    [
        "o = Concat <axis=-1> (t, t)",
        "o = Concat <axis=3> (t, t)",
        "s = Softmax <axis=3> (t) \n o = Concat <axis=3> (s, t)",
        "s = ReduceMax <keepdims=1> (t, last) \n d = Sub (t, s) \n o = Concat <axis=3> (d, t)",
        "s = ReduceMax <keepdims=1> (t, lines) \n d = Sub (t, s) \n o = Concat <axis=3> (d, t)",
    ],
)
def test_axes_mean_the_same_channels_first(graph: Any, difference: Any, body: str) -> None:
    model = graph(
        "float[1,4,5,6] x",
        "float[1,8,5,6] y",
        f"t = Transpose <perm=[0,2,3,1]> (x) \n {body} \n y = Transpose <perm=[0,3,1,2]> (o)",
        {"last": np.array([-1]), "lines": np.array([1])},
    )
    count, copy, ops = applied(layout, model)
    assert count > 0
    assert ops["Transpose"] == 0
    assert difference(model, copy) <= 1e-6


def test_a_value_of_fewer_axes_is_not_transposed_along(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,4,4,4] x, float[4,4,4] s",
        "float[1,4,4,4] y",
        "a = Add (x, s) \n y = Transpose <perm=[0,3,1,2]> (a)",
    )
    count, copy, _ = applied(layout, model)
    assert count == 0
    assert difference(model, copy) == 0


def test_an_extension_that_is_called_like_an_op_stays_one(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,4,4,4] x",
        "float[1,4,4,4] y",
        "t = Transpose <perm=[0,2,3,1]> (x) \n y = com.microsoft.Gelu (t)",
    )
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    count, copy, _ = applied(layout, model)
    assert count == 0
    assert difference(model, copy) == 0


def test_a_node_is_not_called_as_another_is(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,8,3,4] x", "float[1,2,6,8] y", "a = Relu (x) \n y = DepthToSpace <blocksize=2> (a)"
    )
    model.graph.node[0].name = "y/Reshape"
    count, copy, _ = applied(depth_to_space, model)
    assert count == 1
    assert difference(model, copy) == 0


def test_a_picture_too_small_to_be_reflected_further_is_not_packed(
    graph: Any, difference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MOVE", 0)
    monkeypatch.setattr(packing, "GAIN", 0.5)
    model = graph(
        "float[1,1,5,5] x",
        "float[1,1,11,11] y",
        'p = Pad <mode="reflect"> (x, edges) \n y = Conv (p, w)',
        {"w": (1, 1, 3, 3), "edges": np.array([0, 0, 4, 4, 0, 0, 4, 4])},
    )
    count, copy, _ = applied(packing, model)
    assert count == 0
    assert difference(model, copy) <= 1e-5


def test_what_another_op_reads_is_not_computed_twice(graph: Any) -> None:
    model = graph(
        "float[1,5,6,4] x",
        "float[1,4,5,6] y, float[1,5,6,4] z",
        "a = Sigmoid (x) \n y = Transpose <perm=[0,3,1,2]> (a) \n z = Neg (a)",
    )
    assert applied(layout, model)[2]["Sigmoid"] == 1


def test_a_padded_convolution_of_a_padded_picture_is_packed_with_both(
    graph: Any, difference: Any
) -> None:
    model = graph(
        "float[1,8,48,48] x",
        "float[1,3,48,48] y",
        'p = Pad <mode="edge"> (x, edges) \n y = Conv <pads=[2,2,2,2]> (p, w)',
        {"w": (3, 8, 9, 9), "edges": np.array([0, 0, 2, 2, 0, 0, 2, 2])},
    )
    count, copy, _ = applied(packing, model)
    assert count == 1
    assert difference(model, copy) <= 1e-5


def test_a_batch_norm_in_training_is_none_at_inference(graph: Any) -> None:
    model = graph(
        "float[1,3,4,5] x",
        "float[1,3,4,5] y",
        """a = Conv (x, w)
           b, m, v = BatchNormalization <training_mode=1> (a, ones, zeros, zeros, ones)
           y = Relu (b)""",
        {"w": (3, 3, 1, 1), "ones": ONES, "zeros": ZEROS},
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    infer_shapes(copy)
    assert affine.rewrite(copy) == 0
