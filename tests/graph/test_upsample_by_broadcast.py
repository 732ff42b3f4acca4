"""Nearest upsampling that is only added to something: the same numbers, without a Resize."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import upsample_by_broadcast
from edgeanim.graph.shapes import infer_shapes
from tests.graph.applied import applied, executed_by_openvino

ASYMMETRIC = 'coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
STEPS = """
    c = Conv <pads = [1, 1, 1, 1]> (x, kernel)
    r = Relu (c)
    u = Resize <RESIZE> (r,, scales)
    ADDED
    y = Neg (a)
"""
SUMS = {
    "first": STEPS.replace("ADDED", "a = Add (u, other)"),
    "second": STEPS.replace("ADDED", "a = Add (other, u)"),
    "Relu": STEPS.replace("ADDED", "s = Add (u, other)\n a = Relu (s)"),
    "LeakyRelu": STEPS.replace("ADDED", "s = Add (other, u)\n a = LeakyRelu <alpha = 0.3> (s)"),
}


def added(
    graph: Any,
    steps: str,
    channels: int = 4,
    size: tuple[int, int] = (5, 6),
    factor: int = 2,
    resize: str = ASYMMETRIC,
    shape: str | None = None,
) -> Any:
    height, width = size
    large = f"2,{channels},{height * factor},{width * factor}"
    kernel = np.random.default_rng(channels).normal(size=(channels, 3, 3, 3))
    return graph(
        f"float[2,3,{height},{width}] x, float[{shape or large}] other",
        f"float[{large}] y",
        steps.replace("RESIZE", resize),
        {
            "kernel": kernel.astype(np.float32),
            "scales": np.array([1, 1, factor, factor], np.float32),
        },
    )


@settings(max_examples=25)
@given(
    channels=st.integers(1, 9),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    factor=st.integers(2, 4),
    steps=st.sampled_from(sorted(SUMS)),
    resize=st.sampled_from([ASYMMETRIC, 'nearest_mode = "round_prefer_floor"']),
)
def test_the_very_sums_without_an_upsampling(
    graph: Any,
    difference: Any,
    channels: int,
    size: tuple[int, int],
    factor: int,
    steps: str,
    resize: str,
) -> None:
    model = added(graph, SUMS[steps], channels, size, factor, resize)
    count, copy, ops = applied(upsample_by_broadcast, model)
    assert count == 1
    assert ops["Resize"] == 0
    assert difference(model, copy) == 0
    assert any("a" in node.output for node in copy.graph.node), "its range is known by its name"


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        (SUMS["first"], {"resize": 'mode = "linear"'}),
        (SUMS["first"], {"shape": "1,4,1,1"}),
        (SUMS["first"].replace("Neg (a)", "Mul (a, u)"), {}),
        (SUMS["first"].replace("Add (u, other)", "Add (u, u)"), {}),
        (SUMS["first"].replace("r = Relu (c)", "r = Sin (c)"), {}),
        (SUMS["first"].replace("Add (u", "Mul (u"), {}),
    ],
)
def test_anything_else_stays(graph: Any, steps: str, options: dict[str, Any]) -> None:
    assert applied(upsample_by_broadcast, added(graph, steps, **options))[0] == 0


@pytest.mark.parametrize("op", ["Resize", "Add", "Relu"])
def test_what_is_to_stay_in_float_is_left_as_it_is(graph: Any, op: str) -> None:
    model = added(graph, SUMS["Relu"])
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    last = next(node.name for node in reversed(model.graph.node) if node.op_type == op)
    infer_shapes(model)
    assert upsample_by_broadcast.rewrite(model, keep={last}) == 0
    assert upsample_by_broadcast.rewrite(model, keep={"another"}) == 1


def test_openvino_copies_nothing(graph: Any) -> None:
    """Neither an upsampling nor a transpose of its own is left of it beside a convolution."""
    model = added(graph, SUMS["Relu"], channels=16, size=(8, 8))
    kinds = [
        executed_by_openvino(each) for each in (model, applied(upsample_by_broadcast, model)[1])
    ]
    assert "Interpolate" in kinds[0]
    assert "Interpolate" not in kinds[1]
