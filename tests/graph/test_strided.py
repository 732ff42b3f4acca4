"""Convolutions that compute the pixels that are kept: the same before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import strided
from tests.graph.applied import applied

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(6, 9), st.integers(6, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    strides=pairs,
    dilation=st.integers(1, 2),
    starts=st.tuples(st.integers(-3, 2), st.integers(0, 2)),
    cut=st.integers(-2, 3),
    steps=pairs,
    apart=st.booleans(),
)
def test_a_slice_of_every_nth_pixel_is_a_stride(
    graph: Any,
    difference: Any,
    size: tuple[int, int],
    kernel: tuple[int, int],
    pads: tuple[int, ...],
    strides: tuple[int, int],
    dilation: int,
    starts: tuple[int, int],
    cut: int,
    steps: tuple[int, int],
    apart: bool,
) -> None:
    windows = [(k - 1) * dilation + 1 for k in kernel]
    made = [
        (s + pads[i] + pads[2 + i] - windows[i]) // strides[i] + 1 if s + pads[i] >= 0 else 0
        for i, s in enumerate(size)
    ]
    end = 1000 if cut == 3 else cut  # some of them count from the end
    ends = [end if end != 0 else 1000, 1000]
    kept = [
        len(range(*slice(b, e, s).indices(max(0, m))))
        for b, e, s, m in zip(starts, ends, steps, made, strict=True)
    ]
    if min(*made, *kept) < 1:
        return
    weights = {
        "w": (4, 3, *kernel), "b": (4,),
        **{f"{name}{i}": np.array([values[i]], np.int64)
           for name, values in (("begin", starts), ("end", ends), ("step", steps))
           for i in (0, 1)},
        "rows": np.array([2], np.int64), "columns": np.array([-1], np.int64),
        "begins": np.array(starts, np.int64), "ends": np.array(ends, np.int64),
        "axes": np.array([2, 3], np.int64), "steps": np.array(steps, np.int64),
    }  # fmt: skip
    cuts = (
        "s = Slice (c, begin0, end0, rows, step0) \n y = Slice (s, begin1, end1, columns, step1)"
        if apart
        else "y = Slice (c, begins, ends, axes, steps)"
    )
    model = graph(
        f"float[1,3,{size[0]},{size[1]}] x", f"float[1,4,{kept[0]},{kept[1]}] y",
        f"""c = Conv <strides=[{strides[0]},{strides[1]}], dilations=[{dilation},{dilation}],
                pads=[{','.join(map(str, pads))}]> (x, w, b)
            {cuts}""",
        weights,
    )  # fmt: skip
    count, copy, ops = applied(strided, model)
    assert difference(model, copy) <= 1e-6
    if max(steps) > 1 and starts == (0, 0) and ends == [1000, 1000]:
        assert count
        assert ops["Slice"] == (apart and min(steps) == 1)


def test_the_blur_before_a_smaller_picture_is_computed_there(graph: Any, difference: Any) -> None:
    """As first order motion models shrink a picture to a quarter."""
    ends = np.array([2**63 - 1] * 2)
    model = graph(
        "float[1,3,64,64] x", "float[1,3,16,16] y",
        "c = Conv <group=3, pads=[6,6,6,6]> (x, w) \n y = Slice (c, none, ends, axes, steps)",
        {"w": (3, 1, 13, 13), "none": np.zeros(2, np.int64), "ends": ends,
         "axes": np.array([2, 3]), "steps": np.array([4, 4])},
    )  # fmt: skip
    count, copy, ops = applied(strided, model)
    assert (count, ops["Slice"]) == (1, 0)
    assert difference(model, copy) <= 1e-6


@pytest.mark.parametrize(
    ("outputs", "body"),
    [
        ("float[1,3,4,4] y, float[1,3,8,8] c", "y = Slice (c, none, ends, axes, steps)"),
        ("float[1,3,8,8] y", "y = Slice (c, ends, start, axes, back)"),
        ("float[1,2,4,4] y", "y = Slice (c, one, three, three_axes, threes)"),
        ("float[1,3,4,4] y", "y = Slice (c, last, before, three_axes, reversed)"),
    ],
    ids=["all of it is read", "backwards", "channels are cut", "channels are reversed"],
)
def test_another_slice_stays(graph: Any, difference: Any, outputs: str, body: str) -> None:
    model = graph(
        "float[1,3,8,8] x", outputs, f"c = Conv <pads=[1,1,1,1]> (x, w) \n {body}",
        {"w": (3, 3, 3, 3), "none": np.zeros(2, np.int64), "ends": np.array([99, 99]),
         "start": np.array([-99, -99]), "axes": np.array([2, 3]), "steps": np.array([2, 2]),
         "back": np.array([-1, -1]), "one": np.array([1, 0, 0]), "three": np.array([3, 99, 99]),
         "three_axes": np.array([1, 2, 3]), "threes": np.array([1, 2, 2]),
         "last": np.array([-1, 0, 0]), "before": np.array([-99, 99, 99]),
         "reversed": np.array([-1, 2, 2])},
    )  # fmt: skip
    count, copy, _ = applied(strided, model)
    assert count == 0
    assert difference(model, copy) <= 1e-6
