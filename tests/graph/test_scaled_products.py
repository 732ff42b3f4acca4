"""Scales of attention's products: the same numbers, and float where integers would be slower."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeanim.graph.rewrites import scaled_products
from tests.graph.applied import applied, optimised

INPUTS = "float[1,2,6,4] a, float[1,2,4,5] b"


def product(graph: Any, scaling: str, *, of: str = "(a, b)", scale: Any = 3.0) -> Any:
    weights = {"scale": np.asarray(scale, np.float32)}
    if "kernel" in of:
        weights["kernel"] = np.full((4, 5), 0.5, np.float32)
    return graph(INPUTS, "float[1,2,6,5] y", f"m = MatMul {of}\n {scaling}", weights)


@settings(max_examples=20)
@given(
    scaling=st.sampled_from(["y = Mul (m, scale)", "y = Mul (scale, m)", "y = Div (m, scale)"]),
    scale=st.floats(0.01, 100),
    ranks=st.integers(0, 3),
)
def test_the_product_is_the_same(
    graph: Any, difference: Any, scaling: str, scale: float, ranks: int
) -> None:
    model = product(graph, scaling, scale=np.full((1,) * ranks, scale))
    count, copy, ops = applied(scaled_products, model)
    assert (count, ops) == (1, Counter({"Mul": 1, "MatMul": 1}))
    assert copy.graph.node[0].op_type == "Mul"
    assert difference(model, copy) < 1e-5 * max(1.0, scale)


@pytest.mark.parametrize(
    "model",
    [
        {"scaling": "y = Div (scale, m)"},
        {"scaling": "y = Add (m, scale)"},
        {"scaling": "s = Mul (m, scale)\n y = Add (s, m)"},
        {"scaling": "y = Mul (m, scale)", "of": "(a, kernel)"},
        {"scaling": "y = Mul (m, scale)", "scale": np.arange(5)},
    ],
    ids=["its inverse", "a sum", "read twice", "a constant factor", "several scales"],
)
def test_others_stay(graph: Any, model: dict[str, Any]) -> None:
    assert applied(scaled_products, product(graph, **model))[0] == 0


def test_the_runtime_multiplies_in_float_then(graph: Any, tmp_path: Path) -> None:
    steps = "aq = QuantizeLinear (a, step, zero)\n bq = QuantizeLinear (b, step, zero)"
    values = "ad = DequantizeLinear (aq, step, zero)\n bd = DequantizeLinear (bq, step, zero)"
    model = graph(
        INPUTS,
        "float[1,2,6,5] y",
        f"{steps}\n {values}\n m = MatMul (ad, bd)\n y = Mul (m, scale)",
        {
            "step": np.array(0.02, np.float32),
            "zero": np.array(128, np.uint8),
            "scale": np.array(0.5, np.float32),
        },
    )
    assert optimised(model, tmp_path)["MatMulIntegerToFloat"] == 1
    after = optimised(applied(scaled_products, model)[1], tmp_path)
    assert (after["FusedMatMul"], after["MatMulIntegerToFloat"], after["Mul"]) == (1, 0, 0)


def test_a_factor_that_adds_an_axis_stays(graph: Any) -> None:
    model = graph(
        "float[4,5] a, float[5,6] b",
        "float[1,4,6] y",
        "m = MatMul (a, b)\n y = Mul (m, scale)",
        {"scale": np.full((1, 1, 1), 0.5, np.float32)},
    )
    assert applied(scaled_products, model)[0] == 0
