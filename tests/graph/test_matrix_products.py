"""Einsums that are products of matrices: the same numbers by MatMul."""

from __future__ import annotations

from typing import Any

import pytest

from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.rewrites import matrix_products
from tests.graph.applied import applied

SIZES = {"b": 2, "h": 3, "i": 4, "j": 5, "k": 6}


def product(graph: Any, equation: str, *, stored: bool = False) -> Any:
    """`equation` of two inputs, or of one and a stored matrix, with axes of these sizes."""
    (left, right), result = equation.split("->")[0].split(","), equation.split("->")[1]
    shapes = [tuple(SIZES[letter] for letter in term.strip()) for term in (left, right, result)]
    x, w, y = (",".join(map(str, shape)) for shape in shapes)
    inputs = f"float[{x}] x" if stored else f"float[{x}] x, float[{w}] w"
    body = f'y = Einsum <equation = "{equation}"> (x, w)'
    return graph(inputs, f"float[{y}] y", body, {"w": shapes[1]} if stored else {})


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    "equation",
    [
        "ij,jk->ik",
        "ij, kj -> ik",
        "ij,jk->ki",
        "bhij,bhjk->bhik",
        "bihj,bkhj->bhik",
        "bij,bjk->bik",
    ],
)
def test_products_of_matrices_give_the_same(
    graph: Any, difference: Any, equation: str, stored: bool
) -> None:
    model = product(graph, equation, stored=stored)
    count, copy, ops = applied(matrix_products, model)
    assert (count, ops["MatMul"], ops["Einsum"]) == (1, 1, 0)
    assert ops["Transpose"] <= 1 or not stored
    assert difference(model, copy) < 1e-5


@pytest.mark.parametrize(
    "equation", ["ij,jk->i", "ij,ij->ij", "ij,k->ijk", "bij,jk->bik", "ij,ij->ji", "ij,ijk->ik"]
)
def test_other_sums_stay(graph: Any, equation: str) -> None:
    assert applied(matrix_products, product(graph, equation))[0] == 0


def test_an_axis_of_one_that_stands_for_a_longer_one_stays(graph: Any) -> None:
    body = 'y = Einsum <equation = "ij,jk->ik"> (x, w)'
    model = graph("float[4,1] x, float[5,6] w", "float[4,6] y", body)
    assert applied(matrix_products, model)[0] == 0


def test_a_stored_matrix_is_a_linear_layer(graph: Any, save: Any) -> None:
    """So that it can be pruned and trained."""
    from torch import nn

    imported = import_torch(save(product(graph, "ij,kj->ik", stored=True)))
    assert any(isinstance(module, nn.Linear) for module in imported.module.modules())
