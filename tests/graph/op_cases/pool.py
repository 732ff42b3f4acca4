"""Pools of one axis to three."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import I64, Case

CASES: dict[str, Case] = {
    "pools": (
        "float[1,8,5,6] y, float[1,8,5,6] z",
        """y = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)
           z = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)""", {}, 18),
    "pools unequal": (
        "float[1,8,5,6] y, float[1,8,5,6] z",
        """y = MaxPool <kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER"> (x)
           z = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1],
                            count_include_pad=1> (x)""", {}, 18),
    "pools of other ranks": (
        "float[1,2,2,5,6] y, float[1,2,4,4,12] z, float[1,8,60] v, float[1,8,61] w",
        """r = Reshape (x, deep)
           y = MaxPool <kernel_shape=[2,3,3], strides=[2,2,2], pads=[0,1,1,0,1,1]> (r)
           z = AveragePool <kernel_shape=[1,3,1], strides=[1,3,1], pads=[0,1,0,0,1,0]> (r)
           s = Reshape (x, flat)
           v = AveragePool <kernel_shape=[2], strides=[2]> (s)
           w = MaxPool <kernel_shape=[2], strides=[2], pads=[1,1]> (s)""",
        {"deep": np.array([1, 2, 4, 10, 12], I64), "flat": np.array([1, 8, 120], I64)}, 18),
    "wide pads that count": (
        "float[1,8,12,14] y",
        "y = AveragePool <kernel_shape=[3,3], pads=[2,2,2,2], count_include_pad=1> (x)", {}, 18),
    "unequal pads that do not count": (
        "float[1,8,5,6] y, float[1,8,10,12] z, float[1,8,4,5] v",
        """y = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]> (x)
           z = AveragePool <kernel_shape=[2,2], auto_pad="SAME_UPPER"> (x)
           v = AveragePool <kernel_shape=[3,3], strides=[3,3], pads=[1,1,0,0], ceil_mode=1> (x)
        """, {}, 18),
}  # fmt: skip
