"""Conv, ConvTranspose and Col2Im."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import FULL, I64, Case

CASES: dict[str, Case] = {
    "conv grouped": (FULL, "y = Conv <group=4, pads=[1,1,1,1]> (x, w)", {"w": (8, 2, 3, 3)}, 18),
    "conv dilated": (
        "float[1,4,6,8] y", "y = Conv <dilations=[2,2]> (x, w, b)",
        {"w": (4, 8, 3, 3), "b": (4,)}, 18),
    "conv unequal pads": (
        "float[1,4,11,13] y", "y = Conv <pads=[0,1,2,1]> (x, w)", {"w": (4, 8, 2, 2)}, 18),
    "conv computed weight": (
        FULL, "v = Tanh (w) \n m = ReduceMean (x) \n u = Mul (v, m) \n y = Conv (x, u)",
        {"w": (8, 8, 1, 1)}, 18),
    "conv transpose": (
        "float[1,6,20,24] y",
        "y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (x, w, b)",
        {"w": (8, 6, 3, 3), "b": (6,)}, 18),
    "conv transpose unequal": (
        "float[1,6,20,24] y", "y = ConvTranspose <strides=[2,2], pads=[0,0,1,1]> (x, w)",
        {"w": (8, 6, 3, 3)}, 18),
    "conv transpose to a size": (
        "float[1,6,20,23] y", "y = ConvTranspose <strides=[2,2], output_shape=[20,23]> (x, w)",
        {"w": (8, 6, 3, 4)}, 18),
    "conv transpose of the same size": (
        "float[1,6,20,24] y", """y = ConvTranspose <strides=[2,2], auto_pad="SAME_UPPER"> (x, w)""",
        {"w": (8, 6, 3, 3)}, 18),
    "conv transpose with more below": (
        "float[1,6,21,24] y",
        "y = ConvTranspose <strides=[2,2], pads=[1,1,0,0], output_padding=[1,0]> (x, w)",
        {"w": (8, 6, 3, 3)}, 18),
    "conv transpose dilated": (
        "float[1,6,22,26] y, float[1,8,12,14] z, float[1,6,23,15] v",
        """y = ConvTranspose <strides=[2,2], dilations=[2,2], pads=[1,1,1,1],
                              output_padding=[1,1]> (x, w, b)
           z = ConvTranspose <dilations=[2,2], group=4, pads=[1,1,1,1]> (x, grouped)
           t = Tanh (w)
           m = ReduceMean (x)
           u = Mul (t, m)
           v = ConvTranspose <strides=[2,1], dilations=[2,2], pads=[0,0,0,1]> (x, u)""",
        {"w": (8, 6, 3, 3), "grouped": (8, 2, 3, 3), "b": (6,)}, 18),
    "windows put together": (
        "float[1,8,10,12] y, float[1,10,14,14] z",
        """r = Reshape (x, tiles)
           y = Col2Im <strides=[5,4]> (r, size, window)
           s = Reshape (x, some)
           z = Col2Im <strides=[5,2], pads=[0,1,0,1], dilations=[2,1]> (s, larger, three)""",
        {"tiles": np.array([1, 160, 6], I64), "size": np.array([10, 12], I64),
         "window": np.array([5, 4], I64), "some": np.array([1, 60, 16], I64),
         "larger": np.array([14, 14], I64), "three": np.array([3, 2], I64)}, 18),
    "conv transpose computed": (
        "float[1,6,20,24] y, float[1,6,21,25] z",
        """t = Tanh (w)
           m = ReduceMean (x)
           u = Mul (t, m)
           y = ConvTranspose <strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]> (x, u, b)
           z = ConvTranspose <strides=[2,2]> (x, u)""",
        {"w": (8, 6, 3, 3), "b": (6,)}, 18),
}  # fmt: skip
