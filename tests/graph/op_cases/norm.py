"""Normalisations."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import FULL, I64, Case

CASES: dict[str, Case] = {
    "batch norm": (
        FULL, "r = Relu (x) \n y = BatchNormalization (r, a, b, c, d)",
        {"a": (8,), "b": (8,), "c": (8,), "d": np.ones(8, np.float32)}, 18),
    "batch norm of a vector": (
        "float[1,8] y",
        """m = ReduceMean <keepdims=0> (x, axes)
           y = BatchNormalization (m, a, b, c, d)""",
        {"axes": np.array([2, 3], I64), "a": (8,), "b": (8,), "c": (8,),
         "d": np.ones(8, np.float32)}, 18),
    "instance norm": (FULL, "y = InstanceNormalization (x, a, b)", {"a": (8,), "b": (8,)}, 18),
    "instance norm of a pixel": (
        "float[1,8,1,1] y", "p = GlobalAveragePool (x) \n y = InstanceNormalization (p, a, b)",
        {"a": (8,), "b": (8,)}, 18),
    "layer norm": (FULL, "y = LayerNormalization (x, a, b)", {"a": (12,), "b": (12,)}, 18),
    "group norm": (
        FULL, "y = GroupNormalization <num_groups=2> (x, a, b)", {"a": (8,), "b": (8,)}, 21),
    "defined by others, stored scale": (
        FULL, "y = RMSNormalization <axis=2> (x, w)", {"w": (10, 12)}, 23),
    "layer norm repeated": (
        "float[1,8,10,12] y, float[1,8,10,12] z",
        """y = LayerNormalization <axis=2> (x, row, column)
           z = LayerNormalization <axis=1> (x, channels)""",
        {"row": (12,), "column": (10, 1), "channels": (8, 1, 1)}, 18),
}  # fmt: skip
