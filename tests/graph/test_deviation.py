"""How far apart the results of two runtimes are: the measure that every gate of parity goes by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeanim.graph.reference import deviation

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expected", "actual", "apart"),
    [
        ([0.5, -0.5], [0.5, -0.25], 0.25),
        ([10.0, -40.0], [10.0, -38.0], 2 / 40),  # of the largest that was expected
        ([1.0], [1.0, 1.0], INF),
        ([], [], 0.0),
        ([1.0, 2.0], [1.0, NAN], INF),
        ([1.0, 2.0], [INF, 2.0], INF),
        ([1.0, NAN], [1.0, 2.0], INF),
        ([1.0, INF], [1.0, -INF], INF),
        ([1.0, INF], [1.0, 2.0], INF),
        ([1.0, NAN, -INF], [1.0, NAN, -INF], 0.0),
        ([NAN], [NAN], 0.0),
    ],
)
def test_what_is_no_number_in_one_alone_is_infinitely_far(
    expected: list[float], actual: list[float], apart: float
) -> None:
    one, other = np.array(expected, np.float32), np.array(actual, np.float32)
    assert deviation(one, other) == pytest.approx(apart)
