"""The rewrites that make convolutions cheaper: ONNX Runtime computes the same before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import (
    identity,
    packing,
    transposed,
    upsampled,
)
from edgeanim.graph.shapes import infer_shapes
from tests.graph.applied import applied

sides = st.tuples(st.integers(0, 3), st.integers(0, 3))


sizes = st.tuples(st.integers(4, 9), st.integers(4, 9))


kernels = st.tuples(st.integers(1, 5), st.integers(1, 5))


def padded(mode: str, begins: tuple[int, int], ends: tuple[int, int]) -> dict[str, np.ndarray]:
    return {"edges": np.array([0, 0, *begins, 0, 0, *ends])} if mode != "own" else {}


@settings(deadline=None, max_examples=60)
@given(
    size=sizes,
    kernel=kernels,
    factor=st.integers(2, 3),
    mode=st.sampled_from(["own", "constant", "edge", "reflect"]),
    begins=sides,
    ends=sides,
    coordinates=st.sampled_from(["asymmetric", "half_pixel"]),
    biased=st.booleans(),
)
def test_a_convolution_moves_below_its_upsampling(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    factor: int,
    mode: str,
    begins: tuple[int, int],
    ends: tuple[int, int],
    coordinates: str,
    biased: bool,
) -> None:
    spans = zip(size, begins, ends, kernel, strict=True)
    height, width = (s * factor + b + e - k + 1 for s, b, e, k in spans)
    rounding = "floor" if coordinates == "asymmetric" else "round_prefer_floor"
    pad = "" if mode == "own" else f'<mode="{mode}"> (up, edges)'
    own = f"pads=[{begins[0]},{begins[1]},{ends[0]},{ends[1]}]" if mode == "own" else ""
    model = graph(
        f"float[1,3,{size[0]},{size[1]}] x",
        f"float[1,5,{height},{width}] y",
        f"""up = Resize <mode="nearest", coordinate_transformation_mode="{coordinates}",
                         nearest_mode="{rounding}"> (x, none, scales)
            {"p = Pad " + pad if pad else "p = Identity (up)"}
            {"y" if mode != "own" else "c"} = Conv <{own or "pads=[0,0,0,0]"}>
                (p, w{", b" if biased else ""})
            {"" if mode != "own" else "y = Relu (c)"}""",
        {
            "w": (5, 3, *kernel),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, factor, factor], np.float32),
            **({"b": (5,)} if biased else {}),
            **padded(mode, begins, ends),
        },
    )
    assume(not (mode == "reflect" and max(*begins, *ends) >= factor * min(size)))
    identity.rewrite(model)
    count, copy, ops = applied(upsampled, model)
    assert difference(model, copy) <= 2e-6
    if kernel == (3, 3) and factor == 2 and (mode != "reflect" or max(*begins, *ends) < factor):
        assert count == 1
        assert ops["Resize"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        'mode="linear"',
        'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="ceil"',
        'mode="nearest", coordinate_transformation_mode="half_pixel", nearest_mode="floor"',
        'mode="nearest", coordinate_transformation_mode="align_corners"',
    ],
)
def test_other_resizings_stay(graph: Any, settings: str) -> None:
    model = graph(
        "float[1,3,6,8] x",
        "float[1,4,10,14] y",
        f"up = Resize <{settings}> (x, none, scales) \n y = Conv (up, w)",
        {
            "w": (4, 3, 3, 3),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2, 2], np.float32),
        },
    )
    assert applied(upsampled, model)[0] == 0


@pytest.mark.parametrize(
    "coordinates",
    ['"asymmetric", nearest_mode="floor"', '"half_pixel", nearest_mode="round_prefer_floor"'],
)
def test_a_factor_that_is_no_whole_number_repeats_no_pixels(graph: Any, coordinates: str) -> None:
    """6 rows by 2.1 are 12 rows, as by 2, but other ones."""
    model = graph(
        "float[1,3,6,8] x",
        "float[1,4,10,14] y",
        f"""up = Resize <mode="nearest", coordinate_transformation_mode={coordinates}>
                (x, none, scales)
            y = Conv (up, w)""",
        {
            "w": (4, 3, 3, 3),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2.1, 2.1], np.float32),
        },
    )
    assert applied(upsampled, model)[0] == 0


def test_the_factors_of_some_axes_alone_are_understood(graph: Any, difference: Any) -> None:
    model = graph(
        "float[1,3,6,8] x",
        "float[1,4,10,14] y",
        """up = Resize <mode="nearest", axes=[-1, 2]> (x, none, scales)
           y = Conv (up, w)""",
        {
            "w": (4, 3, 3, 3),
            "none": np.zeros(0, np.float32),
            "scales": np.array([2, 2], np.float32),
        },
    )
    count, copy, ops = applied(upsampled, model)
    assert (count, ops["Resize"]) == (1, 0)
    assert difference(model, copy) <= 2e-6


def test_a_pad_that_wraps_around_an_upsampling_stays(graph: Any) -> None:
    model = graph(
        "float[1,3,6,8] x",
        "float[1,4,12,16] y",
        """up = Resize <mode="nearest"> (x, none, scales)
           p = Pad <mode="wrap"> (up, edges)
           y = Conv (p, w)""",
        {
            "w": (4, 3, 3, 3),
            "none": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2, 2], np.float32),
            **padded("wrap", (1, 1), (1, 1)),
        },
        opset=19,
    )
    assert applied(upsampled, model)[0] == 0


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(8, 17), st.integers(8, 17)),
    kernel=kernels,
    mode=st.sampled_from(["own", "constant", "edge", "reflect"]),
    begins=sides,
    ends=sides,
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    lanes=st.sampled_from([4, 8, 16]),
)
def test_narrow_convolutions_are_packed(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    mode: str,
    begins: tuple[int, int],
    ends: tuple[int, int],
    channels: tuple[int, int],
    lanes: int,
) -> None:
    spans = zip(size, begins, ends, kernel, strict=True)
    height, width = (s + b + e - k + 1 for s, b, e, k in spans)
    own = f"pads=[{begins[0]},{begins[1]},{ends[0]},{ends[1]}]"
    model = graph(
        f"float[1,{channels[0]},{size[0]},{size[1]}] x",
        f"float[1,{channels[1]},{height},{width}] y",
        f"y = Conv <{own}> (x, w, b)"
        if mode == "own"
        else f'p = Pad <mode="{mode}"> (x, edges) \n y = Conv (p, w, b)',
        {
            "w": (channels[1], channels[0], *kernel),
            "b": (channels[1],),
            **padded(mode, begins, ends),
        },
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    infer_shapes(copy)
    with pytest.MonkeyPatch.context() as patch:  # packed wherever it can be, paying or not
        patch.setattr(packing, "MOVE", 0)
        patch.setattr(packing, "GAIN", 0.5)
        packing.rewrite(copy, lanes=lanes)
    onnx.checker.check_model(copy, full_check=True)
    assert difference(model, copy) <= 2e-6


def head(graph: Any, channels: int, out: int, kernel: int) -> Any:
    side = 48 - kernel + 1
    return graph(
        f"float[1,{channels},48,48] x",
        f"float[1,{out},{side},{side}] y",
        "y = Conv (x, w)",
        {"w": (out, channels, kernel, kernel)},
    )


def test_packing_pays_for_few_outputs_and_wide_kernels_only(graph: Any) -> None:
    assert applied(packing, head(graph, 8, 3, 9))[0] == 1
    assert applied(packing, head(graph, 16, 3, 7))[0] == 1
    assert applied(packing, head(graph, 32, 32, 3))[0] == 0
    assert applied(packing, head(graph, 64, 3, 1))[0] == 0


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stride=st.integers(2, 3),
    begins=sides,
    ends=sides,
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
@example(size=(4, 3), kernel=(3, 3), stride=2, begins=(1, 1), ends=(1, 1), extra=(1, 1))
@example(size=(4, 3), kernel=(4, 4), stride=2, begins=(1, 1), ends=(1, 1), extra=(0, 0))
def test_transposed_convolutions_become_plain(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    begins: tuple[int, int],
    ends: tuple[int, int],
    extra: tuple[int, int],
) -> None:
    assume(max(extra) < stride)
    spans = zip(size, kernel, begins, ends, extra, strict=True)
    out = [(s - 1) * stride + k - b - e + x for s, k, b, e, x in spans]
    assume(min(out) > 0)
    model = graph(
        f"float[1,3,{size[0]},{size[1]}] x",
        f"float[1,4,{out[0]},{out[1]}] y",
        f"""y = ConvTranspose <strides=[{stride},{stride}], output_padding=[{extra[0]},{extra[1]}],
                pads=[{begins[0]},{begins[1]},{ends[0]},{ends[1]}]> (x, w, b)""",
        {"w": (3, 4, *kernel), "b": (4,)},
    )
    count, copy, ops = applied(transposed, model)
    assert difference(model, copy) <= 2e-6
    if kernel in ((3, 3), (4, 4)) and begins == ends == (1, 1):
        assert (count, ops["ConvTranspose"]) == (1, 0)


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", ["", "8,5"])
def test_so_do_those_of_a_size_or_a_mode_as_tensorflow_has_them(
    graph: Any, difference: Any, mode: str, size: str
) -> None:
    said = f", output_shape=[{size}]" if size else ""
    model = graph(
        "float[1,3,4,3] x",
        f"float[1,4,{size or ('9,7' if mode == 'NOTSET' else '8,6')}] y",
        f'y = ConvTranspose <strides=[2,2], auto_pad="{mode}"{said}> (x, w)',
        {"w": (3, 4, 3, 3)},
    )
    made = restructure(model)
    assert made.changes["transposed"] == 1
    assert difference(model, made.model) <= 2e-6
