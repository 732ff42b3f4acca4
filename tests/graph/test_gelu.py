"""GELUs that are written out: ONNX Runtime's own op, in every order of their factors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgeanim.graph.rewrites import gelu
from edgeanim.graph.shapes import infer_shapes

SPREADS = ["a = Div (x, root)", "a = Mul (x, inverse)", "a = Mul (inverse, x)"]
PRODUCTS = {
    "x first": "p = Mul (x, s) \n y = Mul (p, half)",
    "half first": "p = Mul (half, s) \n y = Mul (p, x)",
    "half of x": "h = Mul (x, half) \n y = Mul (h, s)",
}
OTHERS = {
    "another root": ("a = Div (x, half)", "s = Add (e, one)", PRODUCTS["x first"]),
    "another sum": (SPREADS[0], "s = Add (e, half)", PRODUCTS["x first"]),
    "a whole": (SPREADS[0], "s = Add (e, one)", "p = Mul (x, s) \n y = Mul (p, one)"),
    "its square": (SPREADS[0], "s = Add (e, one)", "p = Mul (s, s) \n y = Mul (p, half)"),
    "a sum at the end": (SPREADS[0], "s = Add (e, one)", "p = Mul (x, s) \n y = Add (p, half)"),
    "read in between": (SPREADS[0], "s = Add (e, one)", "p = Mul (x, s) \n q = Mul (p, half)\n"
                        "y = Add (q, p)"),
}  # fmt: skip


def written(graph: Any, spread: str, total: str, product: str) -> Any:
    return graph(
        "float[1,4,8,8] x",
        "float[1,4,8,8] y",
        f"{spread} \n e = Erf (a) \n {total} \n {product}",
        {
            "root": np.array(math.sqrt(2), np.float32),
            "inverse": np.array([math.sqrt(0.5)], np.float32),
            "half": np.array(0.5, np.float32),
            "one": np.array(1, np.float32),
        },
    )


def rewritten(model: Any) -> tuple[int, Any]:
    copy = type(model).FromString(model.SerializeToString())
    infer_shapes(copy)
    return gelu.rewrite(copy), copy


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
@pytest.mark.parametrize("spread", SPREADS)
def test_it_is_one_op_with_the_same_numbers(
    graph: Any, difference: Any, spread: str, product: str
) -> None:
    model = written(graph, spread, "s = Add (one, e)", product)
    count, copy = rewritten(model)
    assert (count, [node.op_type for node in copy.graph.node]) == (1, ["Gelu"])
    assert difference(model, copy) < 1e-6


@pytest.mark.parametrize("parts", OTHERS.values(), ids=OTHERS)
def test_others_stay(graph: Any, parts: tuple[str, str, str]) -> None:
    count, copy = rewritten(written(graph, *parts))
    assert count == 0
    assert len(copy.opset_import) == 1
