"""Activations, arithmetic, comparisons."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import FULL, I64, Case

CASES: dict[str, Case] = {
    "activations": (
        FULL,
        """a = LeakyRelu <alpha=0.3> (x)
           b = HardSwish (a)
           c = HardSigmoid (b)
           d = Elu (c)
           e = Softplus (d)
           f = PRelu (e, slope)
           g = Clip (f, , six)
           y = Erf (g)""",
        {"slope": (8, 1, 1), "six": np.array(0.6, np.float32)}, 18),
    "slopes of other ranks": (
        "float[1,8,120] y, float[1,8,10,3,4] z, float[1,8] v",
        """a = Reshape (x, line)
           y = PRelu (a, one)
           b = Reshape (x, volume)
           z = PRelu (b, two)
           c = ReduceMean <keepdims=0> (x, axes)
           v = PRelu (c, none)""",
        {"one": (8, 1), "two": (1, 8, 1, 1, 1), "none": (8,), "line": np.array([1, 8, 120], I64),
         "volume": np.array([1, 8, 10, 3, 4], I64), "axes": np.array([2, 3], I64)}, 18),
    "number first": (
        FULL,
        """a = Greater (half, x)
           b = And (true, a)
           c = Equal (half, x)
           d = Or (b, c)
           e = Where (d, x, half)
           y = Sub (half, e)""",
        {"half": np.array(0.5, np.float32), "true": np.array(True)}, 18),
    "whole numbers clipped": (
        "float[1,10,12] y",
        """i = ArgMax <axis=1, keepdims=0> (x)
           c = Clip (i, low, high)
           y = Gather (t, c)""",
        {"low": np.array(1, I64), "high": np.array(5, I64), "t": (8,)}, 18),
    "gelu": (FULL, 'y = Gelu <approximate="tanh"> (x)', {}, 20),
    "arithmetic": (
        FULL,
        """a = Mul (x, v)
           b = Add (a, v)
           c = Sub (one, b)
           d = Abs (c)
           e = Sqrt (d)
           f = Div (e, v)
           g = Pow (f, two)
           h = Exp (x)
           i = Max (g, h, x)
           j = Neg (i)
           y = Min (j, x)""",
        {"v": (8, 1, 1), "one": np.array(1.0, np.float32), "two": np.array([2.0], np.float32)}, 18),
    "where": (FULL, "c = Greater (x, zero) \n y = Where (c, x, zero)",
              {"zero": np.array(0, np.float32)}, 18),
    "softmax": (FULL, "y = Softmax <axis=1> (x)", {}, 18),
    "one value as two outputs": (
        "float[1,8,10,12] y, float[1,8,10,12] z", "y = Tanh (x) \n z = Identity (y)", {}, 18),
    "defined by others": (FULL, "a = ThresholdedRelu (x) \n b = Selu (a) \n y = Swish (b)", {}, 24),
    "whole numbers divided": (
        "float[1,10,12] y",
        """a = ArgMax <axis=1, keepdims=0> (x)
           n = Neg (x)
           b = ArgMax <axis=1, keepdims=0> (n)
           c = Add (b, one)
           m = Neg (a)
           d = Div (m, c)
           r = Mod (m, three)
           e = Add (d, r)
           f = Cast <to=1> (e)
           y = Mod <fmod=1> (f, half)""",
        {"one": np.array(1, I64), "three": np.array(3, I64),
         "half": np.array(1.5, np.float32)}, 18),
    "mean of several": (FULL, "a = Neg (x) \n b = Exp (x) \n y = Mean (x, a, b)", {}, 18),
    "dropout and its mask": (
        "float[1,8,10,12] y, float[1,8,10,12] z, float[1,8,10,12] v",
        """y, m = Dropout (x)
           z = Cast <to=1> (m)
           v = Dropout (x, half, no)""",
        {"half": np.array(0.5, np.float32), "no": np.array(False)}, 18),
    "old activations": (
        FULL,
        """a = Selu <alpha=1.2> (x)
           b = ThresholdedRelu <alpha=0.3> (a)
           c = Sub (x, b)
           d = Atan (c)
           e = Sqrt (d)
           f = IsNaN (e)
           y = Where (f, x, e)""", {}, 17),
}  # fmt: skip
