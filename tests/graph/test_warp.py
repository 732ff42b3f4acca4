"""`GridSample` as clamps and gathers: ONNX Runtime computes the same before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import warp
from tests.graph.applied import applied


@settings(deadline=None, max_examples=30)
@given(
    padding=st.sampled_from(["zeros", "border"]),
    aligned=st.booleans(),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    out=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    channels=st.integers(1, 5),
    spread=st.sampled_from([0.9, 1.5, 40.0]),
    seed=st.integers(0, 1000),
)
def test_warps_by_gathers_equal_grid_sample(
    graph: Any,
    difference: Any,
    padding: str,
    aligned: bool,
    size: tuple[int, int],
    out: tuple[int, int],
    channels: int,
    spread: float,
    seed: int,
) -> None:
    model = graph(
        f"float[1,{channels},{size[0]},{size[1]}] x, float[1,{out[0]},{out[1]},2] grid",
        f"float[1,{channels},{out[0]},{out[1]}] y",
        f'y = GridSample <padding_mode="{padding}", align_corners={int(aligned)}> (x, grid)',
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    assert warp.rewrite(copy) == 1
    onnx.checker.check_model(copy, full_check=True)
    assert "GridSample" not in {node.op_type for node in copy.graph.node}
    rng = np.random.default_rng(seed)
    inputs = {
        "x": rng.uniform(0, 1, (1, channels, *size)).astype(np.float32),
        "grid": rng.uniform(-spread, spread, (1, *out, 2)).astype(np.float32),
    }
    assert difference(model, copy, inputs) <= 1e-5


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_stacks_are_warped_each_by_its_own_grid(graph: Any, difference: Any, padding: str) -> None:
    model = graph(
        "float[3,2,7,5] x, float[3,4,6,2] grid",
        "float[3,2,4,6] y",
        f'y = GridSample <padding_mode="{padding}"> (x, grid)',
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    assert warp.rewrite(copy) == 1
    onnx.checker.check_model(copy, full_check=True)
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.uniform(0, 1, (3, 2, 7, 5)).astype(np.float32),
        "grid": rng.uniform(-1.3, 1.3, (3, 4, 6, 2)).astype(np.float32),
    }
    assert difference(model, copy, inputs) <= 1e-5


def test_other_kinds_of_grid_sample_stay(graph: Any) -> None:
    model = graph(
        "float[1,3,8,8] x, float[1,8,8,2] grid",
        "float[1,3,8,8] y",
        'y = GridSample <mode="nearest"> (x, grid)',
        opset=17,
    )
    assert applied(warp, model)[0] == 0


def test_a_picture_of_more_pixels_than_floats_can_count_stays(graph: Any) -> None:
    model = graph(
        "float[1,1,4097,4096] x, float[1,8,8,2] grid",
        "float[1,1,8,8] y",
        'y = GridSample <padding_mode="border"> (x, grid)',
    )
    assert applied(warp, model)[0] == 0
