"""Reductions over axes, and the places of the largest and smallest."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import FULL, I64, Case

CASES: dict[str, Case] = {
    "reductions": (
        "float[1,8,1,12] y, float[1,8] z",
        "y = ReduceMean (x, rows) \n z = ReduceSum <keepdims=0> (x, both)",
        {"rows": np.array([2], I64), "both": np.array([-1, -2], I64)}, 18),
    "reductions old": (
        "float[1,8,1,1] y, float[8,12] z",
        "y = ReduceMax <axes=[2,3]> (x) \n z = ReduceL2 <axes=[0,2], keepdims=0> (x)", {}, 17),
    "positions": (
        FULL,
        """a = ArgMax <axis=1> (x)
           b = ArgMin <axis=3, keepdims=0> (x)
           c = Cast <to=1> (a)
           d = Cast <to=1> (b)
           e = Unsqueeze (d, last)
           y = Add (c, e)""",
        {"last": np.array([3], I64)}, 18),
    "reductions of no axes": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        """y = ReduceL2 <noop_with_empty_axes=1> (x)
           a = ReduceLogSum <noop_with_empty_axes=1> (y)
           z = ReduceMax <noop_with_empty_axes=1> (a)""", {}, 18),
    "reductions of functions": (
        "float[1,1,10,12] y, float[1,8,1,12] z, float[1,8,10] v, float[1,8,1,1] w",
        """y = ReduceL1 <axes=[1]> (x)
           z = ReduceSumSquare <axes=[2]> (x)
           v = ReduceLogSumExp <axes=[3], keepdims=0> (x)
           e = Exp (x)
           w = ReduceLogSum <axes=[2,3]> (e)""", {}, 17),
    "sums up to each place": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        "y = CumSum (x, last) \n z = CumSum <reverse=1> (x, second)",
        {"last": np.array(-1, I64), "second": np.array(1, I64)}, 18),
}  # fmt: skip
