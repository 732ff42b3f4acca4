"""Axes moved, cut, joined and padded."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import FULL, I64, Case

CASES: dict[str, Case] = {
    "many axes": (
        "float[1,3,1,2,2,10,12] y, float[1,2,2,2,5,2,12] z",
        """m = Slice (x, starts, ends, axes)
           f = Reshape (m, features)
           r = Reshape (x, kernels)
           s = Softmax <axis=2> (r)
           p = Mul (s, f)
           t = Add (p, p)
           y = ReduceMax (t, second)
           l = Reshape (x, split)
           o = LogSoftmax <axis=-4> (l)
           z = Sub (two, o)""",
        {"kernels": np.array([1, 1, 2, 2, 2, 10, 12], I64),
         "features": np.array([1, 3, 2, 1, 1, 10, 12], I64),
         "split": np.array([1, 2, 2, 2, 5, 2, 12], I64), "starts": np.array([0], I64),
         "ends": np.array([6], I64), "axes": np.array([1], I64),
         "second": np.array([2], I64), "two": np.array(2, np.float32)}, 18),
    "concat split": (
        "float[1,10,10,12] y",
        "a, b = Split <axis=1> (x, sizes) \n y = Concat <axis=1> (b, a, b)",
        {"sizes": np.array([6, 2], I64)}, 18),
    "slice": (
        "float[1,3,10,6] y", "y = Slice (x, starts, ends, axes, steps)",
        {"starts": np.array([1, -1000], I64), "ends": np.array([4, 1000], I64),
         "axes": np.array([1, 3], I64), "steps": np.array([1, 2], I64)}, 18),
    "slice flip": (
        FULL, "y = Slice (x, starts, ends, axes, steps)",
        {"starts": np.array([-1], I64), "ends": np.array([-1000], I64),
         "axes": np.array([3], I64), "steps": np.array([-1], I64)}, 18),
    "reshape transpose": (
        "float[1,12,80] y",
        "r = Reshape (x, s) \n t = Transpose <perm=[0,3,1,2]> (r) \n y = Reshape (t, u)",
        {"s": np.array([0, 8, -1, 12], I64), "u": np.array([1, 12, 80], I64)}, 18),
    "squeeze unsqueeze": (
        "float[1,8,1,1,1] y",
        """p = GlobalAveragePool (x)
           s = Squeeze (p, last)
           u = Unsqueeze (s, axes)
           y = Relu (u)""",
        {"last": np.array([2, 3], I64), "axes": np.array([2, 3, -1], I64)}, 18),
    "expand tile": (
        "float[1,8,10,24] y",
        "m = ReduceMean <axes=[3]> (x) \n e = Expand (m, s) \n t = Tile (e, r) \n y = Relu (t)",
        {"s": np.array([1, 8, 10, 12], I64), "r": np.array([1, 1, 1, 2], I64)}, 17),
    "maps spread": (
        "float[1,8,10,12] y, float[1,8,10,12] z, float[1,8,10,12] v, float[1,8,10,12] w",
        """c = ReduceMean <axes=[2]> (x)
           y = Expand (c, all)
           r = ReduceMean <axes=[1,3]> (x)
           z = Tile (r, times)
           p = ReduceMean <axes=[0,1], keepdims=0> (x)
           v = Expand (p, all)
           n = ReduceMax <axes=[3]> (x)
           o = Less (n, zero)
           e = Expand (o, all)
           w = Where (e, x, y)""",
        {"all": np.array([1, 8, 10, 12], I64), "times": np.array([1, 8, 1, 12], I64),
         "zero": np.array(0, np.float32)}, 17),
    "pads": (
        "float[1,8,20,22] y",
        """r = Pad <mode="reflect"> (x, p)
           e = Pad <mode="edge"> (r, p)
           c = Pad (e, q, value, axes)
           y = Tanh (c)""",
        {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1], I64), "q": np.array([1, 3, 1, 1], I64),
         "value": np.array(0.7, np.float32), "axes": np.array([2, 3], I64)}, 18),
    "vector flattened": (
        "float[8,1] y", "m = ReduceMean <keepdims=0> (x, axes) \n y = Flatten (m)",
        {"axes": np.array([0, 2, 3], I64)}, 18),
}  # fmt: skip
