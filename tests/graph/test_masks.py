"""Masks of -inf, as attention adds them: the same numbers, and INT8 has ranges for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeanim.core.errors import BadInput
from edgeanim.graph.load import load_model
from edgeanim.graph.restructure import restructure
from edgeanim.graph.rewrites import masks
from tests.graph.applied import applied

LATER = np.where(np.tri(8, dtype=bool), 0, -np.inf).astype(np.float32)
SLOPED = np.where(LATER == 0, np.arange(8) / 8, LATER).astype(np.float32)


@pytest.mark.parametrize(("mask", "additions"), [(LATER, 0), (SLOPED, 1), (LATER[None, None], 0)])
@pytest.mark.parametrize("read", ["x, m", "m, x"])
def test_what_is_masked_is_replaced(
    graph: Any, difference: Any, mask: Any, additions: int, read: str
) -> None:
    body = f"a = Add ({read}) \n y = Softmax (a)"
    model = graph("float[1,3,8,8] x", "float[1,3,8,8] y", body, {"m": mask})
    count, copy, ops = applied(masks, model)
    assert (count, ops["Where"], ops["Add"]) == (1, 1, additions)
    assert difference(model, copy) == 0
    assert restructure(model).changes["masks"] == 1


def test_what_is_no_mask_is_added(graph: Any) -> None:
    ends = "float[1,3,8,8] x", "float[1,3,8,8] y"
    assert applied(masks, graph(*ends, "y = Add (x, m)", {"m": (8, 8)}))[0] == 0
    assert applied(masks, graph(*ends, "y = Add (x, x)"))[0] == 0


def test_a_stored_mask_is_no_broken_weight(graph: Any, save: Any) -> None:
    """It was said to come of a training that diverged."""
    ends = "float[1,3,8,8] x", "float[1,3,8,8] y"
    body = "a = Add (x, m) \n y = Softmax (a)"
    assert load_model(save(graph(*ends, body, {"m": LATER})))
    for broken in (-LATER, np.where(LATER == 0, np.nan, LATER)):
        with pytest.raises(BadInput, match="'m' holds NaN or infinite values"):
            load_model(save(graph(*ends, body, {"m": broken.astype(np.float32)})))
