"""Hard sigmoids of 8-bit values: looked up, within a step of exact, and left alone elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import hard_gates
from tests.graph.applied import applied

STEP = 1 / 255


def gate(
    graph: Any, *, slope: float = 1 / 6, offset: float = 0.5, step: float = STEP, bottom: int = 0,
    values: str = "xd", body: str = "",
) -> Any:  # fmt: skip
    """A hard sigmoid of a rounded `x` in -6..6, rounded in its turn."""
    return graph(
        "float[1,2,4,5] x",
        "float[1,2,4,5] y",
        f"""xq = QuantizeLinear (x, scale, zero)
            xd = DequantizeLinear (xq, scale, zero)
            g = HardSigmoid <alpha = {slope:.9f}, beta = {offset:.9f}> ({values})
            gq = QuantizeLinear (g, step, bottom)
            gd = DequantizeLinear (gq, step, bottom)
            {body or "y = Identity (gd)"}""",
        {
            "scale": np.array(12 * STEP, np.float32),
            "zero": np.array(128, np.uint8),
            "step": np.array(step, np.float32),
            "bottom": np.array(bottom, np.uint8),
        },
    )


@settings(max_examples=30)
@given(slope=st.floats(0.02, 4), offset=st.floats(0, 1))
def test_a_gate_is_looked_up_within_a_step(
    graph: Any, difference: Any, slope: float, offset: float
) -> None:
    model = gate(graph, slope=slope, offset=offset)
    count, copy, ops = applied(hard_gates, model)
    assert count == 1
    assert ops["HardSigmoid"] == 0
    # Both results are whole steps, at most half a step from x's line and half of one from its own.
    assert difference(model, copy) < 1.01 * STEP


def test_both_ends_are_exact(graph: Any, difference: Any) -> None:
    model = gate(graph, slope=40.0, offset=0.0)
    assert difference(model, applied(hard_gates, model)[1]) == 0


@pytest.mark.parametrize(
    "kept",
    [
        {"values": "x"},
        {"slope": -0.2},
        {"offset": 1.5},
        {"step": 0.01},
        {"bottom": 3},
        {"body": "y = Add (gd, g)"},
    ],
    ids=["of a float", "falling", "above one", "other steps", "other zero", "read in float"],
)
def test_others_stay(graph: Any, kept: dict[str, Any]) -> None:
    assert applied(hard_gates, gate(graph, **kept))[0] == 0
