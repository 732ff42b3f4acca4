"""PRelus of 8-bit values: taken apart within the steps of their parts, left alone elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import channel_slopes
from tests.graph.applied import applied, optimised

STEP = 2 / 255
SLOPES = (0.05, 0.25, 0.5)


def sloped(
    graph: Any, slopes: Any = SLOPES, *, zero: int = 128, values: str = "xd", body: str = ""
) -> Any:
    """A rounded `x` that bends at zero, rounded in its turn."""
    return graph(
        "float[1,3,4,5] x",
        "float[1,3,4,5] y",
        f"""xq = QuantizeLinear (x, step, zero)
            xd = DequantizeLinear (xq, step, zero)
            p = PRelu ({values}, slopes)
            pq = QuantizeLinear (p, step, zero)
            pd = DequantizeLinear (pq, step, zero)
            {body or "y = Identity (pd)"}""",
        {
            "step": np.array(STEP, np.float32),
            "zero": np.array(zero, np.uint8),
            "slopes": np.array(slopes, np.float32).reshape(-1, 1, 1),
        },
    )


@settings(max_examples=30)
@given(
    slopes=st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3),
    zero=st.integers(1, 255),
)
def test_the_parts_add_up_within_their_steps(
    graph: Any, difference: Any, slopes: list[float], zero: int
) -> None:
    model = sloped(graph, slopes, zero=zero)
    inputs = {"x": np.random.default_rng(zero).uniform(-2, 2, (1, 3, 4, 5)).astype(np.float32)}
    count, copy, ops = applied(channel_slopes, model)
    assert (count, ops["PRelu"]) == (1, 0)
    # Half a step each of the slopes and the products, then one of the result's own rounding.
    span = max(*slopes, 0.0) - min(*slopes, 0.0)
    assert difference(model, copy, inputs) <= 1.01 * (STEP + zero * STEP * span / 255)


def test_what_is_above_zero_is_exact(graph: Any, difference: Any) -> None:
    model = sloped(graph)
    inputs = {"x": np.random.default_rng(0).uniform(0, 1, (1, 3, 4, 5)).astype(np.float32)}
    assert difference(model, applied(channel_slopes, model)[1], inputs) == 0


def test_the_runtime_computes_it_in_8_bits(graph: Any, tmp_path: Path) -> None:
    ops = optimised(applied(channel_slopes, sloped(graph))[1], tmp_path)
    assert (ops["QLinearLeakyRelu"], ops["QLinearMul"], ops["QLinearAdd"]) == (2, 1, 1)
    assert ops["DequantizeLinear"] == 1


@pytest.mark.parametrize(
    "kept",
    [{"values": "x"}, {"slopes": (0.2,)}, {"zero": 0}, {"body": "y = Add (pd, p)"}],
    ids=["of a float", "one slope", "never below zero", "read in float"],
)
def test_others_stay(graph: Any, kept: dict[str, Any]) -> None:
    assert applied(channel_slopes, sloped(graph, **kept))[0] == 0
