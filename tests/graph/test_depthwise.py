"""Filters by which StyleGAN and wavelets enlarge: the same is computed before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import depthwise, transposed, zero_stuffing
from edgeanim.quantize.pruning.surgeon import Surgeon
from tests.graph.applied import applied

I64 = np.int64


@pytest.mark.parametrize("biased", [False, True])
def test_one_filter_for_a_batch_of_channels_is_depthwise(
    graph: Any, difference: Any, biased: bool
) -> None:
    model = graph(
        "float[1,6,8,9] x", "float[1,6,7,8] y, float[6,1,7,8] z",
        f"""a = Reshape (x, planes)
           z = Conv <pads=[1,1,1,1]> (a, w{', b' if biased else ''})
           y = Reshape (z, back)""",
        {"w": (1, 1, 4, 4), "b": (1,), "planes": np.array([-1, 1, 8, 9], I64),
         "back": np.array([1, 6, 7, 8], I64)},
    )  # fmt: skip
    count, copy, ops = applied(depthwise, model)
    assert (count, ops["Reshape"]) == (1, 1), "only what the batch is needed for is reshaped"
    assert difference(model, copy) <= 1e-6


def test_channels_that_one_filter_blurs_can_be_pruned(graph: Any, save: Any) -> None:
    """As pictures of their own nobody knew them for the channels of the convolution before."""
    model = graph(
        "float[1,3,8,9] x", "float[1,3,7,8] y",
        """a = Conv <pads=[1,1,1,1]> (x, first)
           b = Reshape (a, planes)
           c = Conv <pads=[1,1,1,1]> (b, blur)
           d = Reshape (c, back)
           y = Conv <pads=[1,1,1,1]> (d, last)""",
        {"first": (6, 3, 3, 3), "blur": (1, 1, 4, 4), "last": (3, 6, 3, 3),
         "planes": np.array([-1, 1, 8, 9], I64), "back": np.array([1, 6, 7, 8], I64)},
    )  # fmt: skip
    assert restructure(model).changes["depthwise"] == 1
    imported = import_torch(save(model))
    (group,) = Surgeon(imported.module, imported.example()).groups()
    assert len(group.strands) == 6


@pytest.mark.parametrize("kernel", [(2, 1, 3, 3), (1, 3, 3, 3)])
def test_several_filters_for_each_channel_stay(graph: Any, kernel: tuple[int, ...]) -> None:
    model = graph(
        f"float[4,{kernel[1]},8,8] x", f"float[4,{kernel[0]},6,6] y", "y = Conv (x, w)",
        {"w": kernel},
    )  # fmt: skip
    assert applied(depthwise, model)[0] == 0


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    stride=st.integers(2, 3),
    kernel=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    begins=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    ends=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    grouped=st.booleans(),
    flat=st.booleans(),
)
@example(size=(3, 4), stride=2, kernel=(4, 4), begins=(2, 2), ends=(1, 1), grouped=True, flat=False)
@example(size=(3, 4), stride=2, kernel=(4, 4), begins=(2, 2), ends=(1, 1), grouped=False, flat=True)
def test_a_filter_over_zeros_between_pixels_is_a_transposed_convolution(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    stride: int,
    kernel: tuple[int, int],
    begins: tuple[int, int],
    ends: tuple[int, int],
    grouped: bool,
    flat: bool,
) -> None:
    large = [side * stride for side in size]
    out = [s + b + e - k + 1 for s, b, e, k in zip(large, begins, ends, kernel, strict=True)]
    if min(out) < 1:
        return
    apart = [3, 1, size[0], 1, size[1], 1] if flat else [1, 3, size[0], 1, size[1], 1]
    zeros = [0, 0, 0, stride - 1, 0, stride - 1]
    pads = ",".join(map(str, (*begins, *ends)))
    model = graph(
        f"float[1,3,{size[0]},{size[1]}] x", f"float[1,3,{out[0]},{out[1]}] y",
        f"""a = Reshape (x, apart)
           p = Pad (a, zeros)
           l = Reshape (p, large)
           y = Conv <group={3 if grouped else 1}, pads=[{pads}]> (l, w, b)""",
        {"apart": np.array(apart, I64), "zeros": np.array([0] * 6 + zeros, I64),
         "large": np.array([1, 3, *large], I64),
         "w": (3, 1 if grouped else 3, *kernel), "b": (3,)},
    )  # fmt: skip
    count, copy, ops = applied(zero_stuffing, model)
    assert difference(model, copy) <= 2e-6
    assert ops["Pad"] == 1 - count
    if stride == 2 and kernel == (4, 4) and (begins, ends) == ((2, 2), (1, 1)):
        assert count == 1


def test_zeros_elsewhere_stay(graph: Any) -> None:
    for zeros in ([0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0]):
        shape = np.array([1, 3, 4, 1, 4, 1]) + np.array(zeros[:6]) + np.array(zeros[6:])
        large = [1, 3, int(shape[2] * shape[3]), int(shape[4] * shape[5])]
        model = graph(
            "float[1,3,4,4] x", f"float[1,3,{large[2] - 3},{large[3] - 3}] y",
            """a = Reshape (x, apart)
               p = Pad (a, zeros)
               l = Reshape (p, large)
               y = Conv <group=3> (l, w)""",
            {"apart": np.array([1, 3, 4, 1, 4, 1], I64), "zeros": np.array(zeros, I64),
             "large": np.array(large, I64), "w": (3, 1, 4, 4)},
        )  # fmt: skip
        assert applied(zero_stuffing, model)[0] == 0


@pytest.mark.parametrize(("channels", "groups"), [((12, 1), 3), ((4, 3), 2), ((12, 1), 12)])
def test_a_narrow_transposed_convolution_in_groups_becomes_plain(
    graph: Any, difference: Any, channels: tuple[int, int], groups: int
) -> None:
    """As an inverse wavelet transform is, or the enlargement of a picture by a filter."""
    out = channels[1] * groups
    model = graph(
        f"float[1,{channels[0]},5,6] x", f"float[1,{out},10,12] y",
        f"y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], group={groups}> (x, w, b)",
        {"w": (*channels, 4, 4), "b": (out,)},
    )  # fmt: skip
    count, copy, _ = applied(transposed, model)
    assert count == 1
    assert difference(model, copy) <= 2e-6


def test_several_filters_over_zeros_for_each_channel_are_transposed_too(
    graph: Any, difference: Any
) -> None:
    model = graph(
        "float[1,3,4,4] x", "float[1,6,9,9] y",
        """a = Reshape (x, apart)
           p = Pad (a, zeros)
           l = Reshape (p, large)
           y = Conv <group=3, pads=[2,2,2,2]> (l, w)""",
        {"apart": np.array([1, 3, 4, 1, 4, 1], I64),
         "zeros": np.array([0] * 9 + [1, 0, 1], I64),
         "large": np.array([1, 3, 8, 8], I64), "w": (6, 1, 4, 4)},
    )  # fmt: skip
    count, copy, _ = applied(zero_stuffing, model)
    assert count == 1
    assert difference(model, copy) <= 2e-6
