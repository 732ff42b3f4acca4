"""What counts as drifting too far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.errors import UsageError
from edgeanim.core.limit import NO_LIMIT, DriftLimit
from edgeanim.core.recipe import Gates

drifts = st.floats(0, 2)


@dataclass(frozen=True)
class Played:
    """Something that was compared with the original."""

    drift_mean: float
    ssim_p5: float


@pytest.mark.parametrize(
    ("mean", "p5", "holds"),
    [(0.98, 0.95, True), (0.979, 0.99, False), (0.99, 0.949, False), (1.0, 1.0, True)],
)
def test_the_projects_own_rule_is_the_default(mean: float, p5: float, holds: bool) -> None:
    drift = Played(round(1 - mean, 9), p5)
    for limit in (DriftLimit(), DriftLimit.of(0.02), Gates().drift()):
        assert limit.holds(drift) == holds


def test_the_5th_percentile_follows_the_mean_unless_it_is_given() -> None:
    assert DriftLimit.of(0.004).p5 == pytest.approx(0.01)
    assert DriftLimit.of(0.02, 0.03) == DriftLimit(0.02, 0.03)
    assert Gates(max_drift=0.1, max_drift_p5=0.12).drift() == DriftLimit(0.1, 0.12)
    assert str(DriftLimit(0.02, 0.04)) == "0.02 (5th percentile 0.04)"


def test_a_limit_that_goes_before_a_recipes_leaves_the_other_one_as_it_is_there() -> None:
    both = Gates(max_drift=0.1, max_drift_p5=0.12)
    assert both.drift(mean=0.3) == DriftLimit(0.3, 0.12)
    assert both.drift(p5=0.3) == DriftLimit(0.1, 0.3)
    assert Gates(max_drift=0.1).drift(mean=0.3) == DriftLimit.of(0.3)
    with pytest.raises(ValueError, match="0 or more"):
        Gates(max_drift=-1.0)


def test_of_no_drift_at_all_nothing_is_used_and_of_any_other_too_much() -> None:
    limit = DriftLimit(0, 0)
    assert limit.excess(Played(0.0, 1.0)) == 0
    assert limit.excess(Played(0.001, 1.0)) == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_what_is_no_limit_is_refused(value: float) -> None:
    for limits in ((value,), (0.02, value)):
        with pytest.raises(UsageError, match="A drift limit must be 0 or more"):
            DriftLimit.of(*limits)


@given(drifts, drifts, drifts, drifts)
def test_the_limit_holds_exactly_where_no_more_than_all_of_it_is_used(
    mean: float, p5: float, drift: float, tail: float
) -> None:
    limit, played = DriftLimit(mean, p5), Played(drift, 1 - tail)
    used = limit.excess(played)
    if limit.holds(played):
        assert used <= 1 + 1e-9
    else:
        assert used >= 1 - 1e-9
    assert NO_LIMIT.holds(played)
