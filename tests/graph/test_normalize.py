"""Any graph in the form that all rewrites and converters start from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.graph.edit import Editor, attributes
from edgeanim.graph.normalize import normalize
from edgeanim.graph.queries import value_shapes
from edgeanim.graph.reading.read import read_onnx
from edgeanim.graph.rewrites import constants
from edgeanim.graph.upsampling import nearest_factor

PICTURE = "float[1,3,12,16] x"


def test_the_style_net_comes_out_clean(
    style_model: Path, style_feeds: Any, difference: Any
) -> None:
    model = read_onnx(style_model)
    clean = normalize(model)
    ops = Counter(node.op_type for node in clean.graph.node)
    assert ops["InstanceNormalization"] == 13
    assert ops["Transpose"] == 2
    assert ops.keys().isdisjoint({"Sqrt", "Reciprocal", "GlobalAveragePool", "Sub"})
    assert [v.name for v in clean.graph.input] == [v.name for v in model.graph.input]
    assert difference(model, clean, style_feeds) <= 1e-5


def test_what_a_group_norm_gives_has_a_shape(graph: Any, difference: Any) -> None:
    """ONNX does not tell, and without it nothing after one could be quantised or converted."""
    body = "n = GroupNormalization <num_groups = 2> (c, scale, shift) \n y = Relu (n)"
    model = graph(
        PICTURE,
        "float[1,4,12,16] y",
        f"c = Conv (x, kernel) \n {body}",
        {"kernel": (4, 3, 1, 1), "scale": (4,), "shift": (4,)},
        opset=21,
    )
    clean = normalize(model)
    assert value_shapes(clean)["n"] == (1, 4, 12, 16)
    assert [node.op_type for node in clean.graph.node] == ["Conv", "GroupNormalization", "Relu"]
    assert difference(model, clean) == 0


def test_old_opsets_are_raised(graph: Any, difference: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,24,32] y",
        """u = Upsample <mode="nearest"> (x, scales)
           y = Relu (u)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)},
        opset=9,
    )
    clean = normalize(model)
    assert clean.opset_import[0].version >= 13
    assert difference(model, clean) == 0


@pytest.mark.parametrize(
    ("opset", "factor", "body"),
    [
        (9, 2, 'y = Upsample <mode="linear"> (x, scales)'),
        (10, 2, 'y = Resize <mode="linear"> (x, scales)'),
        (10, 0.5, 'y = Resize <mode="linear"> (x, scales)'),
        (10, 0.5, 'y = Resize <mode="nearest"> (x, scales)'),
        (10, 0.7, 'y = Resize <mode="nearest"> (x, scales)'),
        (10, 1.5, 'y = Resize <mode="nearest"> (x, scales)'),
        (11, 2, 'y = Resize <mode="linear"> (x, scales, scales)'),
    ],
)  # fmt: skip
def test_old_resizing_counts_from_the_corner(
    graph: Any, difference: Any, opset: int, factor: float, body: str
) -> None:
    size = f"{int(12 * factor)},{int(16 * factor)}"
    scales = np.array([1, 1, factor, factor], np.float32)
    model = graph(PICTURE, f"float[1,3,{size}] y", body, {"scales": scales}, opset)
    assert difference(model, normalize(model)) <= 1e-6


@pytest.mark.parametrize(("height", "width"), [(24, 32), (6, 8), (21, 23), (17, 9)])
def test_nearest_pixels_as_tensorflow_counts_them_have_their_present_name(
    graph: Any, difference: Any, height: int, width: int
) -> None:
    """What Keras doubles was doubled by looking up each value, and ONNX Runtime warned of it."""
    body = """y = Resize <mode="nearest", nearest_mode="floor",
                          coordinate_transformation_mode="tf_half_pixel_for_nn">
                  (x, none, none, sizes)"""
    weights = {"none": np.empty(0, np.float32), "sizes": np.array([1, 3, height, width])}
    model = graph(PICTURE, f"float[1,3,{height},{width}] y", body, weights, opset=11)
    clean = normalize(model)
    (resize,) = clean.graph.node
    assert attributes(resize)["coordinate_transformation_mode"] == "half_pixel"
    assert nearest_factor(Editor(clean), resize) == (2 if height == 24 else None)
    assert difference(model, clean) == 0


def test_how_many_values_there_are_is_known(graph: Any, difference: Any) -> None:
    body = "n = Size (x) \n f = Cast <to = 1> (n) \n y = Div (x, f)"
    model = graph(PICTURE, "float[1,3,12,16] y", body)
    clean = normalize(model)
    assert [node.op_type for node in clean.graph.node] == ["Div"]
    assert difference(model, clean) == 0


def test_folded_numbers_keep_having_no_axes(graph: Any, difference: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,12,16] y",
        """first = Constant <value = int64 {0}> ()
           g = Gather <axis=1> (x, first)
           y = Relu (g)""",
    )
    assert difference(model, normalize(model)) == 0


@pytest.mark.parametrize(
    ("size", "body"),
    [
        ("9,9", """k = Resize <nearest_mode="floor"> (w, none, none, to)"""),
        ("1,1", """k = Resize <mode="cubic", coordinate_transformation_mode="pytorch_half_pixel">
                       (w, none, none, to)"""),
        ("7,7", """k = MaxPool <kernel_shape=[3,2], auto_pad="SAME_UPPER"> (w)"""),
        ("21,21", """k = ConvTranspose <strides=[3,3], auto_pad="SAME_UPPER"> (w, kernel)"""),
    ],
)  # fmt: skip
def test_what_is_folded_is_what_onnx_runtime_computes(
    graph: Any, difference: Any, size: str, body: str
) -> None:
    """An embedding of places that is resized to the picture, say."""
    model = graph(
        "float[1,3,1,1] x",
        f"float[1,3,{size}] y",
        f"{body} \n y = Add (x, k)",
        {"w": (1, 3, 7, 7), "kernel": (3, 3, 3, 2), "none": np.empty(0, np.float32),
         "to": np.array([1, 3, *map(int, size.split(","))])},
    )  # fmt: skip
    clean = normalize(model)
    assert [node.op_type for node in clean.graph.node] == ["Add"]
    assert difference(model, clean) <= 1e-6


def test_a_weight_is_stored_however_large_it_is(
    graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "LARGEST_BYTES", 8)
    model = graph(
        PICTURE,
        "float[1,3,12,16] y",
        """w = Constant <value = float[3,1,1] {1, 2, 3}> ()
           v = Neg (w)
           r = Tile (v, repeats)
           a = Mul (x, v)
           y = Sub (a, r)""",
        {"repeats": np.array([1, 12, 1])},
    )
    ops = Counter(node.op_type for node in normalize(model).graph.node)
    assert (ops["Constant"], ops["Neg"]) == (0, 0)
    assert ops["Tile"] == 1, "the file would grow by that"


@pytest.mark.parametrize("limit", [2, 3])
def test_the_branch_that_is_taken_replaces_an_if(
    graph: Any, difference: Any, save: Any, limit: int
) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y, float[1,3,12,16] z",
        """size = Shape <end=2> (x)
           channels = Gather (size, one)
           wide = Greater (channels, limit)
           y, unused = If (wide) <
             then_branch = then () => (float[1,3,12,16] a, float[3] b) {
               k = Constant <value = float[3,1,1] {1, 2, 3}> ()
               a = Mul (x, k)
               b = Identity (w)
             },
             else_branch = other () => (float[1,3,12,16] a, float[3] b) {
               k = Neg (x)
               a = If (wide) <
                 then_branch = inner () => (float[1,3,12,16] v) { v = Add (k, x) },
                 else_branch = last () => (float[1,3,12,16] v) { v = Exp (k) }
               >
               b = Identity (w)
             }
           >
           z = If (wide) <
             then_branch = again () => (float[1,3,12,16] a) { k = Relu (x) \n a = Sub (k, x) },
             else_branch = empty () => (float[1,3,12,16] a) { a = Identity (x) }
           >""",
        {"one": np.array(1), "limit": np.array(limit), "w": (3,)},
    )
    clean = normalize(read_onnx(save(model)))
    onnx.checker.check_model(clean, full_check=True)
    assert "If" not in {node.op_type for node in clean.graph.node}
    assert difference(model, clean) <= 1e-6
    assert normalize(clean).SerializeToString() == clean.SerializeToString()


def test_an_output_that_no_input_changes_stays_one(graph: Any, difference: Any) -> None:
    model = graph(
        PICTURE,
        "float[1,3,12,16] y, float[2] z, float[2] v",
        """y = Relu (x)
           z = Identity (stored)
           v = Constant <value = float[2] {1, 2}> ()""",
        {"stored": (2,)},
    )
    clean = normalize(model)
    assert difference(model, clean) == 0
    assert normalize(clean).SerializeToString() == clean.SerializeToString()


def test_weights_among_the_inputs_are_none_of_them(graph: Any, difference: Any) -> None:
    model = graph(
        f"{PICTURE}, float[3,3,1,1] w, float[3,1,1] s",
        "float[1,3,12,16] y",
        "c = Conv (x, w) \n y = Mul (c, s)",
        {"w": (3, 3, 1, 1), "s": (3, 1, 1)},
    )
    model.ir_version = 3  # which asks for them there
    clean = normalize(model)
    onnx.checker.check_model(clean)
    assert [value.name for value in clean.graph.input] == ["x"]
    assert [node.op_type for node in clean.graph.node] == ["Conv"]
    assert difference(model, clean) <= 1e-6


@pytest.mark.parametrize("said", ["", " \n", "Upsample is too old.\nat line 5"])
def test_a_converter_that_says_nothing_is_quoted_all_the_same(
    graph: Any, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("onnx.version_converter.convert_version", refuse)
    model = graph(PICTURE, "float[1,3,12,16] y", "y = Relu (x)", opset=9)
    with pytest.raises(BadInput, match=r"RuntimeError|too old\. "):
        normalize(model)


def test_normalising_is_idempotent_and_leaves_its_input_alone(tiny_onnx: Any) -> None:
    model = read_onnx(tiny_onnx(16, 4))
    before = model.SerializeToString()
    once = normalize(model)
    assert model.SerializeToString() == before
    assert normalize(once).SerializeToString() == once.SerializeToString()
