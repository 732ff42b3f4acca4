"""Every rewrite: it does what it is for, and ONNX Runtime computes the same before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import affine, constants, identity, instance_norm, layout, pads
from edgeanim.graph.shapes import infer_shapes
from tests.graph.applied import applied

PICTURE = "float[1,3,12,16] x"


@pytest.fixture
def rewritten(difference: Callable[..., float]) -> Callable[..., tuple[int, Counter[str]]]:
    """Applies a rewrite to a copy, checks that the numbers stay; returns its count and the ops."""

    def apply(module: ModuleType, model: Any, limit: float = 2e-6) -> tuple[int, Counter[str]]:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        infer_shapes(copy)
        count = module.rewrite(copy)
        onnx.checker.check_model(copy, full_check=True)
        assert difference(model, copy) <= limit
        return count, Counter(node.op_type for node in copy.graph.node)

    return apply


def test_constants_fold_shape_arithmetic(graph: Any, rewritten: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,192] y",
        """s = Shape <start=0, end=2> (x)
           minus = Constant <value = int64[1] {-1}> ()
           target = Concat <axis=0> (s, minus)
           y = Reshape (x, target)""",
    )
    assert rewritten(constants, model) == (3, {"Reshape": 1})


def test_an_output_that_is_constant_is_folded_once(graph: Any, rewritten: Any) -> None:
    """It was folded again and again."""
    model = graph(
        "float[1,3,8,8] x",
        "float[1,3,8,8] y, float[2] z",
        "y = Relu (x) \n z = Neg (w)",
        {"w": (2,)},
    )
    assert rewritten(constants, model) == (1, {"Relu": 1, "Identity": 1})


def test_constants_do_not_grow_the_file(graph: Any, rewritten: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        "big = Expand (one, size) \n s = ReduceMax <keepdims=0> (big) \n y = Add (x, s)",
        {"one": np.ones(1, np.float32), "size": np.array([3000, 1000])},
    )
    count, ops = rewritten(constants, model)
    assert (count, ops["Expand"]) == (0, 1)


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_what_is_drawn_anew_for_every_frame_is_no_constant(graph: Any, op: str) -> None:
    weights = {"halves": np.full((1, 3, 12, 16), 0.5, np.float32)}
    model = graph(
        PICTURE, "float[1,3,12,16] y", f"noise = {op} (halves) \n y = Add (x, noise)", weights
    )
    assert applied(constants, model)[0] == 0


@pytest.mark.parametrize(("training", "count"), [(False, 1), (True, 0)])
def test_a_dropout_changes_nothing_unless_it_is_in_training(
    graph: Any, training: bool, count: int
) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        "kept = Dropout (x, half, training) \n y = Relu (kept)",
        {"half": np.array(0.5, np.float32), "training": np.array(training)},
    )
    assert applied(identity, model)[0] == count


def test_identities_vanish_but_the_ends_keep_their_names(graph: Any, rewritten: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y, float[1,3,12,16] z",
        """a = Identity (x)
           b = Reshape (a, same)
           c = Pad (b, none)
           d = Transpose <perm=[0,1,2,3]> (c)
           y = Relu (d)
           z = Identity (y)""",
        {"same": np.array([1, 3, 12, 16]), "none": np.zeros(8, np.int64)},
    )
    assert rewritten(identity, model) == (4, {"Relu": 1, "Identity": 1})


def test_a_reversing_slice_is_no_identity(graph: Any, rewritten: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        "r = Slice (x, start, end, axis, step) \n y = Relu (r)",
        {
            "start": np.array([15]),
            "end": np.array([-1000]),
            "axis": np.array([3]),
            "step": np.array([-1]),
        },
    )
    assert rewritten(identity, model)[0] == 0


def test_transposes_meet_and_cancel(graph: Any, rewritten: Any) -> None:
    model = graph(
        "float[1,12,16,3] x",
        "float[1,14,18,5] y",
        """padded = Pad <mode="reflect"> (x, edges)
           first = Transpose <perm=[0,3,1,2]> (padded)
           conv = Conv (first, w)
           last = Transpose <perm=[0,2,3,1]> (conv)
           scaled = Mul (last, per_channel)
           wide = Pad (scaled, more)
           again = Transpose <perm=[0,3,1,2]> (wide)
           second = Conv (again, v)
           back = Transpose <perm=[0,2,3,1]> (second)
           y = Sigmoid (back)""",
        {
            "edges": np.array([0, 1, 2, 0, 0, 1, 2, 0]),
            "more": np.array([0, 2, 1, 0, 0, 2, 1, 0]),
            "w": (4, 3, 3, 3),
            "v": (5, 4, 1, 1),
            "per_channel": np.array([1.0, 2.0, -1.0, 0.5], np.float32),
        },
    )
    # 14 x 18: padded by 1 and 2, less 2 by the convolution, and by 2 and 1 again.
    count, ops = rewritten(layout, _resized(model, (1, 16, 20, 5)))
    assert count > 0
    assert ops["Transpose"] == 2, "one at each end"


def _resized(model: Any, shape: tuple[int, ...]) -> Any:
    for dim, size in zip(model.graph.output[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    return model


DIVIDED = """mean = ReduceMean <keepdims=1> (x, axes)
             centred = Sub (x, mean)
             squares = Pow (centred, two)
             variance = ReduceMean <keepdims=1> (squares, axes)
             shifted = Add (variance, eps)
             deviation = Sqrt (shifted)
             y = Div (centred, deviation)"""


SCALED = """mean = GlobalAveragePool (x)
            centred = Sub (x, mean)
            squares = Mul (centred, centred)
            variance = GlobalAveragePool (squares)
            shifted = Add (eps, variance)
            deviation = Sqrt (shifted)
            inverse = Reciprocal (deviation)
            scale = Mul (inverse, gamma)
            scaled = Mul (scale, x)
            moved = Mul (mean, scale)
            shift = Sub (beta, moved)
            y = Add (scaled, shift)"""


@pytest.mark.parametrize("body", [DIVIDED, SCALED], ids=["divided", "scaled"])
def test_instance_norm_is_recognised(graph: Any, rewritten: Any, body: str) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        body,
        {
            "axes": np.array([2, 3]),
            "two": np.array(2.0, np.float32),
            "eps": np.array([1e-3], np.float32),
            "gamma": (1, 3, 1, 1),
            "beta": (1, 3, 1, 1),
        },
    )
    count, ops = rewritten(instance_norm, model)
    assert count == 1
    assert ops["InstanceNormalization"] == 1
    assert ops["Sqrt"] == 0


def test_a_norm_over_other_axes_is_left_alone(graph: Any, rewritten: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        DIVIDED,
        {
            "axes": np.array([1, 2]),
            "two": np.array(2.0, np.float32),
            "eps": np.array([1e-3], np.float32),
        },
    )
    assert rewritten(instance_norm, model)[0] == 0


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "InstanceNormalization"])
def test_affine_moves_into_the_weights(graph: Any, rewritten: Any, op: str) -> None:
    first = "InstanceNormalization (x, w, b)" if op.startswith("Inst") else f"{op} (x, w)"
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        f"""a = {first}
            m = Mul (a, scale)
            s = Sub (m, shift)
            n = BatchNormalization <epsilon=0.01> (s, gamma, beta, mean, variance)
            y = Relu (n)""",
        {
            "w": (3,) if op.startswith("Inst") else (3, 3, 1, 1),
            "b": (3,),
            "scale": (3, 1, 1),
            "shift": (1, 3, 1, 1),
            "gamma": (3,),
            "beta": (3,),
            "mean": (3,),
            "variance": np.array([0.5, 1.0, 2.0], np.float32),
        },
    )
    assert rewritten(affine, model, 1e-5) == (3, {op: 1, "Relu": 1})


def test_affine_leaves_what_is_used_elsewhere_or_not_per_channel(
    graph: Any, rewritten: Any
) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y, float[1,3,12,16] z",
        """a = Conv (x, w)
           y = Mul (a, scale)
           b = Conv (a, w)
           z = Mul (b, per_column)""",
        {"w": (3, 3, 1, 1), "scale": (3, 1, 1), "per_column": (16,)},
    )
    assert rewritten(affine, model)[0] == 0


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_auto_pad_is_spelt_out(graph: Any, rewritten: Any, mode: str, stride: int) -> None:
    height, width = (
        -(-size // stride) if mode != "VALID" else (size - 4) // stride + 1 for size in (12, 16)
    )
    model = graph(
        PICTURE,
        f"float[1,4,{height},{width}] y",
        f'y = Conv <auto_pad="{mode}", strides=[{stride},{stride}]> (x, w)',
        {"w": (4, 3, 4, 4)},
    )
    assert rewritten(pads, model)[0] == 1


@pytest.mark.parametrize(("value", "count"), [(0.0, 1), (0.5, 0)])
def test_zero_pads_join_their_convolution(
    graph: Any, rewritten: Any, value: float, count: int
) -> None:
    model = graph(
        PICTURE,
        "float[1,4,15,16] y",
        "p = Pad (x, edges, value) \n y = Conv <pads=[1,0,1,0]> (p, w)",
        {
            "edges": np.array([0, 0, 1, 1, 0, 0, 2, 1]),
            "value": np.array(value, np.float32),
            "w": (4, 3, 3, 3),
        },
    )
    assert rewritten(pads, model)[0] == count


BRANCHES = """mean = ReduceMean <keepdims=0> (x)
              bright = Greater (mean, limit)
              y = If (bright) <
                then_branch = one () => (float[1,4,12,16] p) {{ p = Add ({0}, {1}) }},
                else_branch = two () => (float[1,4,12,16] q) {{
                  q = If (bright) <
                    then_branch = three () => (float[1,4,12,16] r) {{ r = Sub ({1}, {0}) }},
                    else_branch = four () => (float[1,4,12,16] s) {{ s = Mul ({0}, {1}) }}
                  >
                }}
              >"""


@pytest.mark.parametrize(
    ("body", "reads"),
    [
        ("a = Conv (x, w) \n k = Constant <value = float {2.0}> ()", ("a", "k")),
        ("a = Conv (x, w) \n b = Identity (a) \n c = Identity (b)", ("c", "b")),
        ("a = Conv (x, w) \n b = Mul (a, scale) \n z = Relu (b)", ("a", "b")),
        ("a = Conv (x, w) \n b = Relu (a) \n z = Identity (b)", ("a", "z")),
    ],
    ids=["constant", "identity", "affine", "output"],
)
@pytest.mark.parametrize("brightness", [-1.0, 1.0])
def test_what_a_branch_reads_from_outside_is_kept(
    graph: Any, difference: Any, body: str, reads: tuple[str, str], brightness: float
) -> None:
    model = graph(
        PICTURE,
        "float[1,4,12,16] y" + (", float[1,4,12,16] z" if "z =" in body else ""),
        f"{body} \n {BRANCHES.format(*reads)}",
        {
            "w": (4, 3, 1, 1),
            "scale": (4, 1, 1),
            "limit": np.array(0, np.float32),
        },
    )
    picture = np.random.default_rng(0).normal(brightness, 0.1, (1, 3, 12, 16))
    feeds = {"x": picture.astype(np.float32)}
    clean = restructure(model).model
    onnx.checker.check_model(clean, full_check=True)
    assert difference(model, clean, feeds) <= 1e-5
