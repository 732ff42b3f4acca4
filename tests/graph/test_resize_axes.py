"""Resizes of some axes, said of all: the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.graph.normalize import normalize
from edgeanim.graph.rewrites import resize_axes
from tests.graph.applied import applied, executed_by_openvino

RESIZE = 'y = Resize <mode = "{}", axes = [{}, {}] {}> (x, {})'
FACTORS, TO_SIZES = ", factors", ", , sizes"


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("axes", [(2, 3), (-1, -2), (3, 2)])
@pytest.mark.parametrize("inputs", [FACTORS, TO_SIZES])
def test_a_resize_of_some_axes_is_one_of_all(
    graph: Any, difference: Any, mode: str, axes: tuple[int, int], inputs: str
) -> None:
    after = {2: 15, 3: 10}
    sizes = np.array([after[axis % 4] for axis in axes])
    before = np.array([{2: 6, 3: 5}[axis % 4] for axis in axes])
    model = graph(
        "float[1,3,6,5] x",
        "float[1,3,15,10] y",
        RESIZE.format(mode, *axes, "", inputs),
        {"factors": (sizes / before).astype(np.float32), "sizes": sizes},
    )
    count, copy, _ = applied(resize_axes, model)
    assert count == 1
    assert [attribute.name for attribute in copy.graph.node[0].attribute] == ["mode"]
    assert difference(model, copy) == 0
    assert difference(model, normalize(model)) == 0
    assert executed_by_openvino(copy)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("policy", "sizes", "after"),
    [
        ("not_larger", [12, 20], "12,10"),
        ("not_smaller", [12, 5], "12,10"),
        ("not_smaller", [2, 20], "24,20"),
    ],
)
def test_one_that_keeps_the_ratio_says_how_large_all_become(
    graph: Any, difference: Any, mode: str, policy: str, sizes: list[int], after: str
) -> None:
    """OpenVINO stretched it, without a word."""
    how = f', keep_aspect_ratio_policy = "{policy}"'
    body = RESIZE.format(mode, 2, 3, how, TO_SIZES)
    model = graph("float[1,3,6,5] x", f"float[1,3,{after}] y", body, {"sizes": np.array(sizes)})
    count, copy, _ = applied(resize_axes, model)
    assert count == 1
    assert [attribute.name for attribute in copy.graph.node[0].attribute] == ["mode"]
    assert difference(model, copy) == 0


@pytest.mark.parametrize(
    ("how", "inputs"),
    [
        (', keep_aspect_ratio_policy = "not_larger"', ", , uneven"),
        (', coordinate_transformation_mode = "tf_crop_and_resize"', "region, factors"),
    ],
)
def test_one_that_the_named_axes_alone_decide_stays(graph: Any, how: str, inputs: str) -> None:
    model = graph(
        "float[1,3,6,5] x",
        "float[1,3,a,b] y",
        RESIZE.format("linear", 2, 3, how, inputs),
        {
            "region": np.array([0, 0.2, 1, 0.8], np.float32),
            "factors": np.full(2, 2, np.float32),
            "uneven": np.array([8, 20]),
        },
    )
    assert applied(resize_axes, model)[0] == 0
