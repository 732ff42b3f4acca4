"""The shares of a profile are shares: of one whole, whatever the rounding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.targets.profile import COMPUTE, CONVERT, INT8, LAYOUT, ExecutedOp, summarize

OPS = st.builds(
    ExecutedOp,
    op=st.sampled_from(["Conv", "Add", "Relu", "Reorder", "Quantize"]),
    precision=st.sampled_from([INT8, "float32"]),
    kind=st.sampled_from([COMPUTE, CONVERT, LAYOUT]),
    cost=st.floats(0, 1e6, allow_subnormal=False),
)


@given(st.lists(OPS, min_size=1, max_size=40))
def test_shares_lie_between_none_and_all_and_sum_to_all(ops: list[ExecutedOp]) -> None:
    profile = summarize(ops, basis="time", detail="")
    shares = (profile.int8, profile.float_, profile.convert, profile.layout)
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1)


def test_rounding_does_not_carry_a_share_past_the_whole() -> None:
    names = [f"op{i}" for i in range(49)]
    ops = [ExecutedOp(name, "float32", COMPUTE, 1.0 + i / 7) for i, name in enumerate(names)]
    assert summarize(ops, basis="time", detail="").float_ <= 1.0


def test_ops_are_counted_by_the_run() -> None:
    often = [ExecutedOp("Conv", INT8, COMPUTE, 1.0)] * 6
    once = [ExecutedOp("Reorder", "float32", LAYOUT, 1.0)]
    profile = summarize([*often, *once], basis="time", detail="", runs=3)
    assert {row.op: row.count for row in profile.ops} == {"Conv": 2, "Reorder": 1}
