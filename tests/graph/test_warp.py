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


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("shape", [(1, 3, 6, 5), (2, 3, 6, 1), (1, 2, 4, 6, 5), (2, 3, 3, 4, 5)])
def test_pictures_and_volumes_are_warped_in_every_way_but_bicubic(
    graph: Any, difference: Any, mode: str, padding: str, aligned: int, shape: tuple[int, ...]
) -> None:
    count, channels, *size = shape
    out = [3, 4, 7][-len(size) :]
    model = graph(
        f"float{list(shape)} x, float{[count, *out, len(size)]} grid",
        f"float{[count, channels, *out]} y",
        f'''y = GridSample <mode="{mode}", padding_mode="{padding}", align_corners={aligned}>
                (x, grid)''',
        opset=20,
    )
    number, copy, ops = applied(warp, model)
    assert (number, ops["GridSample"]) == (1, 0)
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.uniform(0, 1, shape).astype(np.float32),
        "grid": rng.uniform(-3.5, 3.5, (count, *out, len(size))).astype(np.float32),
    }
    assert difference(model, copy, inputs) <= 1e-5


def test_bicubic_warps_stay(graph: Any) -> None:
    model = graph(
        "float[1,3,8,8] x, float[1,8,8,2] grid",
        "float[1,3,8,8] y",
        'y = GridSample <mode="bicubic"> (x, grid)',
        opset=17,
    )
    assert applied(warp, model)[0] == 0


def test_only_warps_of_the_ranks_asked_for_are_lowered(graph: Any) -> None:
    model = graph(
        "float[1,3,4,4,4] x, float[1,4,4,4,3] grid, float[1,3,8,8] p, float[1,8,8,2] flat",
        "float[1,3,4,4,4] y, float[1,3,8,8] z",
        "y = GridSample (x, grid) \n z = GridSample (p, flat)",
        opset=20,
    )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    assert warp.rewrite(copy, ranks=(5,)) == 1
    assert [n.output[0] for n in copy.graph.node if n.op_type == "GridSample"] == ["z"]


def test_a_picture_of_more_pixels_than_floats_can_count_stays(graph: Any) -> None:
    model = graph(
        "float[1,1,4097,4096] x, float[1,8,8,2] grid",
        "float[1,1,8,8] y",
        'y = GridSample <padding_mode="border"> (x, grid)',
    )
    assert applied(warp, model)[0] == 0
