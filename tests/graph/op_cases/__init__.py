"""Ops for the converters, by family, as `graph/pytorch/converters/` has them; a line each."""

from __future__ import annotations

from tests.graph.op_cases import (
    convolution,
    elementwise,
    linear,
    lookup,
    norm,
    pool,
    recurrent,
    reduce,
    resize,
    shape,
)
from tests.graph.op_cases.case import Case

CASES: dict[str, Case] = {
    **convolution.CASES,
    **elementwise.CASES,
    **linear.CASES,
    **lookup.CASES,
    **norm.CASES,
    **pool.CASES,
    **recurrent.CASES,
    **reduce.CASES,
    **resize.CASES,
    **shape.CASES,
}
