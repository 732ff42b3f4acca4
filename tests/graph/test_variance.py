"""Norms over variances as `torch.var` is exported: the axes are dropped and given back, and the
sum of squares is divided by one less than there are numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from edgeanim.graph.normalize import normalize

ROOTS = {
    "a quotient": "q = Sqrt (e) \n n = Div (d, q)",
    "a reciprocal": "q = Sqrt (e) \n r = Reciprocal (q) \n n = Mul (d, r)",
}
KINDS = {"pixels": ([2, 3], "InstanceNormalization"), "last": ([3], "LayerNormalization")}


def normed(graph: Any, axes: list[int], *, kept: bool, unbiased: bool, root: str) -> Any:
    """A norm of [1, 4, 6, 5], of which the variance has a mean of its own."""
    shape = np.array([1, 4, 6, 5])
    count = int(np.prod(shape[axes]))
    shape[axes] = 1
    scaled = "w = Mul (v, count) \n u = Div (w, less)" if unbiased else "u = Identity (v)"
    back = "k = Identity (u)" if kept else "k = Reshape (u, shape)"
    return graph(
        "float[1,4,6,5] x",
        "float[1,4,6,5] y",
        f"""m = ReduceMean (x, axes)
            d = Sub (x, m)
            own = ReduceMean (x, axes)
            c = Sub (x, own)
            s = Mul (c, c)
            v = ReduceMean <keepdims = {int(kept)}> (s, axes)
            {scaled}
            {back}
            e = Add (k, eps)
            {ROOTS[root]}
            y = Neg (n)""",
        {
            "axes": np.array(axes), "shape": shape, "eps": np.array(1e-2, np.float32),
            "count": np.array(count, np.float32), "less": np.array(count - 1, np.float32),
        },
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("root", ROOTS)
def test_they_are_one_op_with_the_same_numbers(
    graph: Any, difference: Any, kind: str, kept: bool, unbiased: bool, root: str
) -> None:
    axes, op = KINDS[kind]
    model = normed(graph, axes, kept=kept, unbiased=unbiased, root=root)
    made = normalize(model)
    ops = Counter(node.op_type for node in made.graph.node)
    assert ops[op] == 1
    assert not ops["ReduceMean"]
    assert difference(model, made) < 1e-5


def test_a_variance_that_is_given_away_stays(graph: Any, difference: Any) -> None:
    model = normed(graph, [2, 3], kept=False, unbiased=True, root="a quotient")
    model.graph.node[-1].input[0] = "k"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 1
    assert difference(model, normalize(model)) < 1e-5
